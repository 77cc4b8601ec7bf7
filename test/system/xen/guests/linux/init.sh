#!/bin/busybox sh
# Init of the Linux guest: what a distribution's would have loaded, then a shell on the console that the test types into.
B=/bin/busybox
$B --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t debugfs debug /sys/kernel/debug
for module in $(cat /modules/order); do insmod /modules/$module; done
stty -echo </dev/console
echo "guest: ready"
while read -r line; do
	eval "$line"
	echo "guest: status $?"
done </dev/console
