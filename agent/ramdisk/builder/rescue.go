package builder

import (
	"github.com/ferrule/ferrule/agent/ramdisk/initramfs"
	"github.com/ferrule/ferrule/agent/ramdisk/linux"
)

// rescueScript has busybox ask for logins on every console that the kernel has;
// tty0 stands for the screen, whose first terminal is tty1.
const rescueScript = `#!/bin/busybox sh
/bin/busybox mkdir -p /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
for c in $(cat /sys/class/tty/console/active); do
	[ "$c" != tty0 ] || c=tty1
	echo "$c::respawn:/sbin/getty -L 0 $c vt100"
done >/etc/inittab
echo "::ctrlaltdel:/sbin/reboot" >>/etc/inittab
exec /bin/busybox init
`

// rescue returns what a ramdisk has for its rescue user.
func rescue(busybox []byte) []initramfs.File {
	return []initramfs.File{
		{Name: "bin/busybox", Mode: 0o755, Data: busybox},
		{Name: linux.RescueProgram[1:], Mode: 0o755, Data: []byte(rescueScript)},
	}
}
