package ilotest

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/task"
)

var (
	deviceNames = map[boot.Device]string{boot.PXE: "NETWORK", boot.Disk: "HDD", boot.CDROM: "CDROM"}
	modeNames   = map[task.BootMode]string{task.BIOS: "LEGACY", task.UEFI: "UEFI"}
	drives      = map[string]string{"CDROM": bmctest.CD, "FLOPPY": bmctest.Floppy}
)

// uefiList are the entries of a Gen9 machine's boot list, and what they are.
var uefiList = []struct {
	value, description string
	device             boot.Device
}{
	{"Boot0009", "Embedded LOM 1 Port 1 : HP Ethernet 1Gb 4-port 331i Adapter - NIC (PXE IPv4)", boot.PXE},
	{"Boot000A", "Embedded RAID 1 : Smart Array P440ar Controller - 279.37 GiB, RAID 0 Logical Drive(Target:0, Lun:0)", boot.Disk},
	{"Boot0007", "HP iLO Virtual USB 2 : HP iLO Virtual USB CD/DVD ROM", boot.CDROM},
}

func device(name string) boot.Device {
	for d, n := range deviceNames {
		if n == name {
			return d
		}
	}
	return ""
}

func (i *ILO) unsupported() reply { return reply{status: 0x3c, message: "Feature not supported"} }

// command carries out one.
func (i *ILO) command(cmd *tag) reply {
	m, state := i.Machine, i.Machine.State()
	name := cmd.XMLName.Local
	switch {
	case strings.Contains(name, "BOOT_MODE"):
		return i.bootMode(name, cmd)
	case strings.Contains(name, "VIRTUAL_MEDIA"), strings.HasSuffix(name, "VM_STATUS"):
		return i.virtualMedia(name, cmd)
	case strings.Contains(name, "_BOOT"):
		return i.bootDevice(name, cmd)
	}
	switch name {
	case "GET_PRODUCT_NAME":
		return reply{payload: `<GET_PRODUCT_NAME><PRODUCT_NAME VALUE="ProLiant DL380 Gen9"/></GET_PRODUCT_NAME>`}
	case "GET_HOST_POWER_STATUS":
		power := map[bool]string{true: "ON", false: "OFF"}[state.On]
		if len(i.power) > 0 {
			power, i.power = i.power[0], i.power[1:]
		}
		return reply{payload: `<GET_HOST_POWER HOST_POWER="` + power + `"/>`}
	case "SET_HOST_POWER":
		if on := cmd.attr("HOST_POWER") == "Yes"; on != state.On {
			return i.setPower(on)
		}
		return reply{message: "Host power is already ON."}
	case "HOLD_PWR_BTN", "PRESS_PWR_BTN":
		if !state.On {
			return reply{message: "Host power is already OFF."}
		}
		return i.setPower(false)
	case "MOD_USER":
		return i.changeUser(cmd)
	case "RESET_RIB":
		m.Change(func(s *bmctest.State) { s.Resets++; s.Down = 3 })
		return ok
	case "GET_EMBEDDED_HEALTH":
		return reply{payload: i.health()}
	}
	return reply{status: 1, message: "Syntax error: Line #3: syntax error near \"" + name + "\""}
}

// changeUser sets a user's password, which is what can be changed here.
func (i *ILO) changeUser(cmd *tag) reply {
	for _, t := range cmd.Tags {
		if t.XMLName.Local != "PASSWORD" {
			continue
		}
		if len(t.attr("VALUE")) < bmctest.MinPassword {
			return reply{status: 4, message: "Password is too short."}
		}
		i.Machine.SetPassword(cmd.attr("USER_LOGIN"), t.attr("VALUE"))
	}
	return ok
}

func (i *ILO) setPower(on bool) reply {
	if i.quirks[PowerLater] {
		old := map[bool]string{true: "ON", false: "OFF"}[!on]
		i.power = []string{old, old, old}
	}
	i.Machine.SetPower(on)
	return ok
}

func (i *ILO) bootMode(name string, cmd *tag) reply {
	mode := modeNames[i.Machine.State().Mode]
	switch {
	case i.cfg.Generation < 4:
		return i.unsupported()
	case name == "SET_PENDING_BOOT_MODE":
		for m, n := range modeNames {
			if n == cmd.attr("VALUE") {
				i.Machine.Change(func(s *bmctest.State) { s.Mode = m })
			}
		}
		i.modeSet = true
		return ok
	case i.quirks[UnknownMode] && !i.modeSet:
		mode = "UNKNOWN"
	}
	return reply{payload: fmt.Sprintf(`<%s><BOOT_MODE VALUE="%s"/></%s>`, name, mode, name)}
}

// value writes the attribute, in a case that some iLOs have.
func (i *ILO) value(v string) string {
	if i.quirks[LowerCase] {
		return `value="` + v + `"`
	}
	return `VALUE="` + v + `"`
}

func (i *ILO) bootDevice(name string, cmd *tag) reply {
	state := i.Machine.State()
	if strings.HasPrefix(name, "SET_") && i.Machine.CountDown(func(s *bmctest.State) *int { return &s.Post }) {
		return reply{status: 0x00e5, message: "POST in progress, try again later."}
	}
	switch name {
	case "GET_ONE_TIME_BOOT":
		kind := "Normal"
		if state.Once != "" {
			kind = deviceNames[state.Once]
		}
		return reply{payload: `<ONE_TIME_BOOT><BOOT_TYPE ` + i.value(kind) + `/></ONE_TIME_BOOT>`}
	case "SET_ONE_TIME_BOOT":
		i.Machine.SetBoot(device(cmd.attr("VALUE")), true)
		return ok
	case "GET_PERSISTENT_BOOT":
		return reply{payload: i.persistent(state.Persistent)}
	case "SET_PERSISTENT_BOOT":
		if len(cmd.Tags) == 0 {
			return reply{status: 0x0b, message: "Invalid boot device."}
		}
		first := cmd.Tags[0].attr("VALUE")
		d := device(first)
		if i.quirks[UEFIBootList] {
			d = ""
			for _, e := range uefiList {
				if e.value == first {
					d = e.device
				}
			}
		}
		if d == "" {
			return reply{status: 0x0b, message: "Invalid boot device."}
		}
		once := state.Once
		i.Machine.SetBoot(d, false)
		if once != "" { // stays until it is used, or set to normal
			i.Machine.SetBoot(once, true)
		}
		return ok
	}
	return i.unsupported()
}

// persistent returns the boot list, with the current device first.
func (i *ILO) persistent(first boot.Device) string {
	var head, rest strings.Builder
	add := func(d boot.Device, text string) {
		if d == first {
			head.WriteString(text)
		} else {
			rest.WriteString(text)
		}
	}
	if i.quirks[UEFIBootList] {
		for _, e := range uefiList {
			add(e.device, `<DEVICE `+i.value(e.value)+` DESCRIPTION="`+e.description+`"/>`)
		}
	} else {
		for _, d := range []boot.Device{boot.CDROM, boot.Disk, boot.PXE} {
			add(d, `<DEVICE `+i.value(deviceNames[d])+`/>`)
		}
	}
	return "<PERSISTENT_BOOT>" + head.String() + rest.String() + "</PERSISTENT_BOOT>"
}

func (i *ILO) virtualMedia(name string, cmd *tag) reply {
	drive := drives[cmd.attr("DEVICE")]
	switch {
	case drive == "":
		return reply{status: 0x35, message: "Invalid virtual media device."}
	case i.Machine.State().Unlicensed && !strings.HasPrefix(name, "GET_"):
		return reply{status: 0x2e, message: "License key error."}
	}
	image := i.media[drive]
	switch name {
	case "GET_VM_STATUS":
		var url strings.Builder
		_ = xml.EscapeText(&url, []byte(image))
		full := map[bool]string{true: "YES", false: "NO"}[image != ""]
		return reply{payload: fmt.Sprintf(`<GET_VM_STATUS VM_APPLET="DISCONNECTED" DEVICE="%s" BOOT_OPTION="NO_BOOT" WRITE_PROTECT="NO" IMAGE_INSERTED="%s" IMAGE_URL="%s"/>`, cmd.attr("DEVICE"), full, url.String())}
	case "INSERT_VIRTUAL_MEDIA":
		if i.quirks[StaleMedium] && image == cmd.attr("IMAGE_URL") {
			return ok // it has that, it thinks
		}
		i.media[drive] = cmd.attr("IMAGE_URL")
		return ok
	case "SET_VM_STATUS":
		if image == "" {
			return reply{status: 0x35, message: "There is no image in the virtual media drive."}
		}
		i.Machine.Insert(drive, image) // the host sees it once it is connected
		return ok
	case "EJECT_VIRTUAL_MEDIA":
		if image == "" && i.quirks[EjectRefuses] {
			return reply{status: 0x35, message: "There is no image in the virtual media drive."}
		}
		delete(i.media, drive)
		i.Machine.Insert(drive, "")
		return ok
	}
	return i.unsupported()
}

// Lose takes the medium out of a drive while the iLO believes that it is there.
func (i *ILO) Lose(drive string) { i.Machine.Insert(drive, "") }

func (i *ILO) health() string {
	nics := "NIC_INFORMATION"
	if i.quirks[MisspeltNICs] {
		nics = "NIC_INFOMATION"
	}
	return `<GET_EMBEDDED_HEALTH_DATA>
<FANS><FAN><ZONE VALUE="System"/><LABEL VALUE="Fan 1"/><STATUS VALUE="OK"/><SPEED VALUE="12" UNIT="Percentage"/></FAN></FANS>
<TEMPERATURE>
<TEMP><LABEL VALUE="01-Inlet Ambient"/><STATUS VALUE="OK"/><CURRENTREADING VALUE="21" UNIT="Celsius"/></TEMP>
<TEMP><LABEL VALUE="02-CPU 2"/><STATUS VALUE="Not Installed"/><CURRENTREADING VALUE="N/A"/></TEMP>
</TEMPERATURE>
<POWER_SUPPLIES><SUPPLY><LABEL VALUE="Power Supply 1"/><STATUS VALUE="OK"/></SUPPLY></POWER_SUPPLIES>
<PROCESSORS><PROCESSOR><LABEL VALUE="Proc 1"/><EXECUTION_TECHNOLOGY VALUE="8/8 cores; 16 threads"/></PROCESSOR></PROCESSORS>
<MEMORY><MEMORY_DETAILS_SUMMARY><CPU_1><TOTAL_MEMORY_SIZE VALUE="32 GB"/></CPU_1><CPU_2><TOTAL_MEMORY_SIZE VALUE="16384 MB"/></CPU_2></MEMORY_DETAILS_SUMMARY></MEMORY>
<` + nics + `><NIC><NETWORK_PORT VALUE="Port 1"/><LOCATION VALUE="Embedded"/><MAC_ADDRESS VALUE="52:54:00:00:00:11"/></NIC>
<NIC><NETWORK_PORT VALUE="iLO Dedicated Network Port"/><MAC_ADDRESS VALUE="52:54:00:00:00:12"/></NIC></` + nics + `>
</GET_EMBEDDED_HEALTH_DATA>`
}
