#!/bin/busybox sh
# The first program of Dom0: loads the modules that its disk needs, and goes over to it.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for module in $($B cat /modules/order); do $B insmod /modules/$module || echo "first: insmod $module failed"; done
disk=
n=0
while [ -z "$disk" ] && [ $n -lt 100 ]; do
  for block in /sys/block/vd*; do [ "$($B cat $block/serial 2>/dev/null)" = root ] && disk=/dev/${block##*/}; done
  [ -n "$disk" ] || $B sleep 0.1
  n=$((n + 1))
done
$B mount -t ext4 $disk /root || exec $B sh
for place in proc sys dev; do $B mount --move /$place /root/$place; done
exec $B switch_root /root /init
