#!/bin/sh
# Dom0's init: starts what Xen's tools need, then executes what the test sends over its virtio port. A request is a line
# "ID COMMAND", the command in base64; its output goes to /share/out/ID, and "ID STATUS" comes back.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root TERM=dumb
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
for module in $(cat /modules/order); do insmod /modules/$module || echo "init: insmod $module failed"; done
mount -t xenfs xenfs /proc/xen
mkdir -p /dev/pts /run/xen /run/xenstored
mount -t devpts devpts /dev/pts
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share
for block in /sys/block/vd*; do
  [ "$(cat $block/serial)" = product ] && mount -t ext4 -o ro /dev/${block##*/} /opt
done
# The package's files in their places, without a second copy of the larger ones.
ln -s /opt/usr/lib/scmi-mediator /usr/lib/
cp -a /opt/usr/sbin/* /usr/sbin/
cp -a /opt/usr/bin/* /usr/bin/
cp -a /opt/etc/scmid /etc/
hostname dom0
ip link set lo up
bin=$(echo /usr/lib/xen-4.*/bin)
$bin/xenstored --pid-file=/run/xenstored.pid
$bin/xen-init-dom0
$bin/xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=/share/consoles
exec 3<>/dev/$(ls /sys/class/virtio-ports | head -1)
echo "ready 0" >&3
while read -r id command <&3; do
  (
    echo "$command" | base64 -d | sh >/share/out/$id 2>&1 3>&-
    echo "$id $?" >&3
  ) &
done
