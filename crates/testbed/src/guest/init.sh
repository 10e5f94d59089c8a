#!/bin/busybox sh
# The whole system of a guest: brings up its network card, then runs the commands that arrive on the
# serial line, one a line as "NUMBER SECONDS COMMAND". After a command's output comes a line of the byte 1,
# its number and its exit status.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
mkdir -p /etc
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >/etc/group
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo -onlcr
# An IPv6 address is usable at once.
echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
for module in virtio_pci virtio_net; do modprobe $module; done
ip link set lo up
# Who has no line to it tells the kernel its address, and presses its power button.
if [ -n "$address" ]; then
    ip link set eth0 up
    ip address add "$address" dev eth0
    for module in button evdev; do modprobe $module; done
    mkdir -p /etc/acpi/PWRF
    printf '#!/bin/sh\npoweroff -f\n' >/etc/acpi/PWRF/00000080
    chmod +x /etc/acpi/PWRF/00000080
    acpid -l /dev/null -p /tmp/acpid.pid
fi
printf '\n\001ready\n'
while read -r number seconds command; do
    timeout -s KILL "$seconds" /bin/sh -c "$command" </dev/null
    printf '\n\001%s %s\n' "$number" "$?"
done
poweroff -f
