package ipxe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/boot/netboot"
	"github.com/ferrule/ferrule/task"
)

const scriptType = "text/plain; charset=utf-8"

// folder is where scripts are, by the address of the NIC, as Ironic has it.
const folder = "pxelinux.cfg"

// A renderer writes scripts. The texts that go into them are checked: nothing in
// them means anything to iPXE.
type renderer struct {
	attempts int
	timeout  time.Duration
}

// render returns the script of one NIC, under the two names that entry scripts
// in the field ask for.
func (r *renderer) render(t netboot.Target) ([]artifact.Artifact, error) {
	var text string
	switch t.Kind {
	case netboot.InstanceDisk:
		text = fmt.Sprintf(diskScript, t.NIC.Hyphens())
	case netboot.InstanceVolume:
		text = volumeScript(t)
	default:
		var err error
		if text, err = r.kernelScript(t); err != nil {
			return nil, err
		}
	}
	name := folder + "/" + t.NIC.Hyphens()
	return []artifact.Artifact{
		{Name: name, Stage: boot.StageScript, Data: []byte(text), ContentType: scriptType},
		{Name: folder + "/" + strings.ReplaceAll(t.NIC.MAC, ":", ""), Stage: boot.StageScript, Link: name},
	}, nil
}

// The command line is not at the end of its line, where a backslash would join
// the next one to it. Loaded images are forgotten before each attempt, the
// scripts among them: a BIOS kernel would get them as further ramdisks. There is
// no dhcp: iPXE has an address on the NIC that the script came through.
const kernelText = `#!ipxe
# %[1]s for %[2]s
set attempt:int32 0
:retry
inc attempt
imgfree ||
kernel --name %[3]s --timeout %[4]d %[5]s %[6]s || goto failed
initrd --name %[7]s --timeout %[4]d %[8]s || goto failed
boot ||
:failed
`

// A machine without its ramdisk is of no use to anybody, and starting from its
// disk might undo what was done.
const ramdiskEnd = `iseq ${attempt} %[1]d && goto giveup ||
echo Attempt ${attempt} of %[1]d failed, trying again in ${attempt} s
sleep ${attempt} ||
goto retry
:giveup
echo No attempt to boot the ramdisk worked, switching off in 30 s
sleep 30 ||
poweroff ||
echo This machine cannot switch itself off, starting over
set attempt:int32 0
goto retry
`

// An instance may come up before the server that it boots from.
const instanceEnd = `echo Attempt ${attempt} failed, trying again in 10 s
sleep 10 ||
goto retry
`

func (r *renderer) kernelScript(t netboot.Target) (string, error) {
	// Kernels on UEFI find their ramdisk by initrd; BOOTIF is the NIC that it uses
	// first.
	line, err := slices.Concat(boot.KernelArgs{{Key: "initrd", Value: t.Ramdisk.Word()}, {Key: "BOOTIF", Value: t.NIC.BOOTIF()}}, t.Args).Render()
	// A BIOS build of iPXE uses one byte of what kernels take for the end, cuts the
	// rest off and says nothing.
	if err := task.Join(err, loader.CheckLength(len(line)+1)); err != nil {
		return "", err
	}
	what, end := "The ramdisk", fmt.Sprintf(ramdiskEnd, r.attempts)
	if t.Kind == netboot.InstanceKernel {
		what, end = "The instance", instanceEnd
	}
	return fmt.Sprintf(kernelText, what, t.NIC.Hyphens(), t.Kernel.Word(), r.timeout.Milliseconds(), t.Kernel.Relative(folder), line,
		t.Ramdisk.Word(), t.Ramdisk.Relative(folder)) + end, nil
}

// On UEFI the next boot device is the disk's, which iPXE itself cannot start.
const diskScript = `#!ipxe
# The instance on the disk of %[1]s
iseq ${platform} efi && exit ||
sanboot --no-describe --drive 0x80 ||
exit
`

func volumeScript(t netboot.Target) string {
	initiator := ""
	if t.Volume.Initiator != "" {
		initiator = "set initiator-iqn " + t.Volume.Initiator + "\n"
	}
	return fmt.Sprintf(`#!ipxe
# The volume that %s starts from
set attempt:int32 0
%s:retry
inc attempt
sanboot --drive 0x80 %s ||
`, t.NIC.Hyphens(), initiator, t.Volume.URI()) + instanceEnd
}

// The NIC that iPXE booted from comes first, also because old builds cannot
// count. Where there is no script, a second look at what certainly is there tells
// a machine that has none from a server that is away. Firmware must see a failure
// on UEFI, for after a success it may show its menu; a BIOS goes on either way,
// and there a failure would make iPXE try all other NICs.
const entryText = `#!ipxe
# Finds the script of this machine by the addresses of its NICs
set attempt:int32 0 ||
:begin
inc attempt || set attempt %[4]d
chain --timeout %[1]d %[2]s/${mac:hexhyp} && goto done ||
set nic:int32 0 || goto none
:next
isset ${net${nic}/mac} || goto none
chain --timeout %[1]d %[2]s/${net${nic}/mac:hexhyp} && goto done ||
inc nic || goto none
goto next
:none
imgfetch --name reachable --timeout %[1]d %[3]s && goto unknown ||
iseq ${attempt} %[4]d && goto unknown ||
echo The server cannot be reached, trying again in ${attempt} s
sleep ${attempt} ||
goto begin
:unknown
imgfree reachable ||
echo There is nothing to boot over the network for this machine, trying its next boot device
sleep 5 ||
:done
iseq ${platform} efi && exit 1 ||
exit
`

func (r *renderer) entry() []byte {
	return fmt.Appendf(nil, entryText, r.timeout.Milliseconds(), folder, entryName, r.attempts)
}
