package ipxe

import (
	"fmt"
	"time"
)

const scriptType = "text/plain; charset=utf-8"

// A script is what the script of one NIC of a node is made of. Its texts are
// checked: nothing in them means anything to iPXE.
type script struct {
	nic         nic
	kernel      string // URL
	ramdisk     string // URL
	commandLine string
	attempts    int
	timeout     time.Duration
}

// The command line is not at the end of its line, where a backslash would join
// the next one to it. Loaded images are forgotten before each attempt, the
// scripts among them: a BIOS kernel would get them as further ramdisks. There is
// no dhcp: iPXE has an address on the NIC that the script came through.
const nodeScript = `#!ipxe
# The deploy ramdisk for %[1]s
set attempt:int32 0
:retry
inc attempt
imgfree ||
kernel --name deploy_kernel --timeout %[2]d %[3]s %[4]s || goto failed
initrd --name deploy_ramdisk --timeout %[2]d %[5]s || goto failed
boot ||
:failed
iseq ${attempt} %[6]d && goto giveup ||
echo Attempt ${attempt} of %[6]d failed, trying again in ${attempt} s
sleep ${attempt} ||
goto retry
:giveup
echo No attempt to boot the deploy ramdisk worked, switching off in 30 s
sleep 30 ||
poweroff ||
echo This machine cannot switch itself off, starting over
set attempt:int32 0
goto retry
`

func (s *script) render() []byte {
	return fmt.Appendf(nil, nodeScript, s.nic.mac, s.timeout.Milliseconds(), s.kernel, s.commandLine, s.ramdisk, s.attempts)
}

// The NIC that iPXE booted from comes first, also because old builds cannot
// count. Firmware must see a failure on UEFI, for after a success it may show
// its menu; a BIOS goes on either way, and there a failure would make iPXE try
// all other NICs.
const entry = `#!ipxe
# Finds the script of this machine by the addresses of its NICs
chain --timeout %[1]d pxelinux.cfg/${mac:hexhyp} && goto done ||
set nic:int32 0 || goto none
:next
isset ${net${nic}/mac} || goto none
chain --timeout %[1]d pxelinux.cfg/${net${nic}/mac:hexhyp} && goto done ||
inc nic || goto none
goto next
:none
echo There is nothing to boot over the network for this machine, trying its next boot device
sleep 5 ||
iseq ${platform} efi && exit 1 ||
:done
exit
`

func entryScript(timeout time.Duration) []byte {
	return fmt.Appendf(nil, entry, timeout.Milliseconds())
}
