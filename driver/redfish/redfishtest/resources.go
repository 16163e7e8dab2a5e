package redfishtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/driver/bmc/bmctest"
	"github.com/ferrule/ferrule/task"
)

const (
	systemPath  = "/redfish/v1/Systems/1"
	managerPath = "/redfish/v1/Managers/1"
	chassisPath = "/redfish/v1/Chassis/1"

	accountsPath = "/redfish/v1/AccountService/Accounts"
)

type object = map[string]any

func ref(path string) object { return object{"@odata.id": path} }

func (b *BMC) root() object {
	root := object{"@odata.id": "/redfish/v1/", "RedfishVersion": "1.6.0", "Systems": ref("/redfish/v1/Systems"), "Managers": ref("/redfish/v1/Managers"),
		"AccountService": ref(accountsPath[:strings.LastIndexByte(accountsPath, '/')])}
	if vendor := b.cfg.Personality.vendor; vendor != "" {
		root["Oem"] = object{vendor: object{}}
	}
	if !b.has(NoSessions) {
		root["Links"] = object{"Sessions": ref(sessionsPath)}
	}
	return root
}

func (b *BMC) etag() string { return fmt.Sprintf(`"%d"`, b.version) }

func (b *BMC) mediaPath() string {
	if b.has(ManagerMedia) {
		return managerPath + "/VirtualMedia"
	}
	return systemPath + "/VirtualMedia"
}

func members(paths ...string) object {
	all := []any{}
	for _, p := range paths {
		all = append(all, ref(p))
	}
	return object{"Members": all, "Members@odata.count": len(all)}
}

func (b *BMC) get(path string) (any, *problem) {
	media := b.mediaPath()
	switch path {
	case "/redfish/v1/Systems":
		return members(systemPath), nil
	case "/redfish/v1/Managers":
		return members(managerPath), nil
	case "/redfish/v1/AccountService":
		return object{"@odata.id": path, "Accounts": ref(accountsPath)}, nil
	case accountsPath:
		return members(accountsPath+"/1", accountsPath+"/2"), nil
	case accountsPath + "/1":
		return object{"@odata.id": path, "UserName": "administrator"}, nil
	case accountsPath + "/2":
		return object{"@odata.id": path, "UserName": bmctest.User}, nil
	case systemPath:
		return b.system(), nil
	case systemPath + "/SecureBoot":
		current := "Disabled"
		if b.Machine.State().SecureBoot {
			current = "Enabled"
		}
		if b.has(Gen9SecureBoot) {
			return object{"@odata.id": path, "SecureBootEnable": b.Machine.State().SecureBoot, "SecureBootCurrentState": b.Machine.State().SecureBoot,
				"ResetAllKeys": false, "ResetToDefaultKeys": false}, nil
		}
		return object{"@odata.id": path, "SecureBootEnable": b.Machine.State().SecureBoot, "SecureBootCurrentBoot": current,
			"Actions": object{"#SecureBoot.ResetKeys": object{"target": path + "/Actions/SecureBoot.ResetKeys"}}}, nil
	case systemPath + "/Bios":
		return object{"@odata.id": path, "Actions": object{"#Bios.ResetBios": object{"target": path + "/Actions/Bios.ResetBios"}}}, nil
	case managerPath:
		m := object{"@odata.id": path, "Model": b.cfg.Personality.Name, "NetworkProtocol": ref(managerPath + "/NetworkProtocol"),
			"Actions": object{"#Manager.Reset": object{"target": managerPath + "/Actions/Manager.Reset"}}}
		if b.has(ManagerMedia) {
			m["VirtualMedia"] = ref(media)
		}
		return m, nil
	case managerPath + "/NetworkProtocol":
		protocols := object{"@odata.id": path, "HostName": "bmc", "HTTPS": object{"ProtocolEnabled": true, "Port": 443}}
		if !b.has(NoIPMI) {
			protocols["IPMI"] = object{"ProtocolEnabled": !b.Machine.State().IPMIOff, "Port": 623}
		}
		return protocols, nil
	case chassisPath:
		return object{"@odata.id": path, "Thermal": ref(path + "/Thermal"), "Power": ref(path + "/Power")}, nil
	case chassisPath + "/Thermal":
		return object{
			"Temperatures": []any{
				object{"Name": "Inlet", "ReadingCelsius": 21.5, "Status": object{"State": "Enabled", "Health": "OK"}},
				object{"Name": "CPU 2", "ReadingCelsius": 0, "Status": object{"State": "Absent"}},
			},
			"Fans": []any{object{"FanName": "Fan 1", "Reading": 12, "ReadingUnits": "Percent", "Status": object{"State": "Enabled", "Health": "Critical"}}},
		}, nil
	case chassisPath + "/Power":
		return object{"PowerSupplies": []any{object{"Name": "PSU 1", "LastPowerOutputWatts": 105, "Status": object{"State": "Enabled", "Health": "OK"}}}}, nil
	case systemPath + "/EthernetInterfaces":
		return members(path+"/1", path+"/2"), nil
	case systemPath + "/EthernetInterfaces/1", systemPath + "/EthernetInterfaces/2":
		return object{"@odata.id": path, "MACAddress": "52:54:00:00:00:0" + path[len(path)-1:], "Status": object{"State": "Enabled"}}, nil
	case media:
		return members(media+"/1", media+"/2"), nil
	case media + "/1":
		return b.drive(path, "floppy"), nil
	case media + "/2":
		return b.drive(path, "cd"), nil
	}
	return nil, errNotFound
}

func (b *BMC) system() object {
	s, p := b.Machine.State(), b.cfg.Personality
	enabled, target := "Continuous", s.Persistent
	if b.has(OnceOnly) {
		enabled, target = "Disabled", ""
	}
	if s.Once != "" {
		enabled, target = "Once", s.Once
	}
	power := "Off"
	if s.On {
		power = "On"
	}
	if len(b.power) > 0 {
		power, b.power = b.power[0], b.power[1:]
	}
	boots := object{
		"BootSourceOverrideTarget": b.targetOf(target), "BootSourceOverrideEnabled": enabled,
		"BootSourceOverrideMode":                           map[task.BootMode]string{task.UEFI: "UEFI", task.BIOS: "Legacy"}[s.Mode],
		"BootSourceOverrideTarget@Redfish.AllowableValues": b.targets(),
	}
	v := object{
		"@odata.id": systemPath, "Manufacturer": p.Manufacturer, "Model": p.Model, "SerialNumber": "CZ1", "PowerState": power, "Boot": boots,
		"ProcessorSummary": object{"Count": 2}, "MemorySummary": object{"TotalSystemMemoryGiB": 64},
		"Links":              object{"ManagedBy": []any{ref(managerPath)}, "Chassis": []any{ref(chassisPath)}},
		"SecureBoot":         ref(systemPath + "/SecureBoot"),
		"Bios":               ref(systemPath + "/Bios"),
		"EthernetInterfaces": ref(systemPath + "/EthernetInterfaces"),
		"Actions": object{"#ComputerSystem.Reset": object{"target": systemPath + "/Actions/ComputerSystem.Reset",
			"ResetType@Redfish.AllowableValues": []string{"On", "ForceOff", "GracefulShutdown", "ForceRestart", "Nmi", "PushPowerButton"}}},
	}
	if !b.has(ManagerMedia) {
		v["VirtualMedia"] = ref(b.mediaPath())
	}
	if b.has(SettingsResource) {
		v["@Redfish.Settings"] = object{"SettingsObject": ref(systemPath + "/Settings")}
	}
	if p.vendor != "" {
		v["Oem"] = object{p.vendor: object{"PostState": "FinishedPost"}}
	}
	if b.has(Gen9SecureBoot) {
		v["Oem"] = object{p.vendor: object{"SecureBoot": v["SecureBoot"], "BIOS": v["Bios"]}}
		delete(v, "SecureBoot")
		delete(v, "Bios")
	}
	return v
}

var deviceNames = map[boot.Device]string{"": "None", boot.PXE: "Pxe", boot.UEFIHTTP: "UefiHttp", boot.Disk: "Hdd", boot.CDROM: "Cd", boot.Floppy: "Floppy", boot.BIOSMenu: "BiosSetup"}

func (b *BMC) targetOf(d boot.Device) string {
	if d == boot.CDROM && b.has(UsbCd) {
		return "UsbCd"
	}
	return deviceNames[d]
}

func (b *BMC) targets() []string {
	var all []string
	for d := range deviceNames {
		all = append(all, b.targetOf(d))
	}
	slices.Sort(all)
	return all
}

// drive shows a virtual drive.
func (b *BMC) drive(path, name string) object {
	d := b.inserted[name]
	if d.late != "" {
		if d.looks--; d.looks <= 0 {
			d.image, d.late = d.late, ""
			b.Machine.Insert(name, d.image)
		}
	}
	types := map[string][]string{"cd": {"CD", "DVD"}, "floppy": {"Floppy", "USBStick"}}[name]
	if name == "cd" && b.has(DVDOnly) {
		types = []string{"DVD"}
	}
	v := object{"@odata.id": path, "Name": "VirtualMedia", "MediaTypes": types, "Image": any(d.image), "Inserted": d.image != ""}
	if d.image == "" {
		v["Image"] = nil
	}
	if b.has(NoInsertedField) {
		delete(v, "Inserted")
	}
	switch {
	case b.has(InsertByPatch):
	case b.has(InsertByOem):
		v["Oem"] = object{"Hpe": object{"BootOnNextServerReset": false, "Actions": object{
			"#HpeiLOVirtualMedia.InsertVirtualMedia": object{"target": path + "/Actions/Oem/Hpe/HpeiLOVirtualMedia.InsertVirtualMedia"},
			"#HpeiLOVirtualMedia.EjectVirtualMedia":  object{"target": path + "/Actions/Oem/Hpe/HpeiLOVirtualMedia.EjectVirtualMedia"},
		}}}
	default:
		v["Actions"] = object{
			"#VirtualMedia.InsertMedia": object{"target": path + "/Actions/VirtualMedia.InsertMedia"},
			"#VirtualMedia.EjectMedia":  object{"target": path + "/Actions/VirtualMedia.EjectMedia"},
		}
	}
	return v
}

// Lose takes the medium out of a drive while the BMC believes that it is there.
func (b *BMC) Lose(name string) { b.Machine.Insert(name, "") }

func (b *BMC) post(path string, body []byte, given bool) *problem {
	var in object
	if given && json.Unmarshal(body, &in) != nil {
		return fail(http.StatusBadRequest, "Base.1.8.MalformedJSON", "The body is no JSON.")
	}
	if path == systemPath+"/Actions/ComputerSystem.Reset" {
		return b.reset(fmt.Sprint(in["ResetType"]))
	}
	if path == systemPath+"/Bios/Actions/Bios.ResetBios" {
		b.Machine.Change(func(s *bmctest.State) { s.BIOSResets++ })
		return nil
	}
	if path == systemPath+"/SecureBoot/Actions/SecureBoot.ResetKeys" {
		b.Machine.Change(func(s *bmctest.State) { s.Keys = fmt.Sprint(in["ResetKeysType"]) })
		return nil
	}
	if path == managerPath+"/Actions/Manager.Reset" {
		b.Machine.Change(func(s *bmctest.State) { s.Resets++; s.Down = 3 })
		return nil
	}
	for number, name := range map[string]string{"/1": "floppy", "/2": "cd"} {
		rest, ok := strings.CutPrefix(path, b.mediaPath()+number+"/Actions/")
		switch {
		case !ok:
		case rest == "VirtualMedia.InsertMedia" && !b.has(InsertByOem) && !b.has(InsertByPatch):
			return b.insert(name, in)
		case rest == "VirtualMedia.EjectMedia" && !b.has(InsertByOem) && !b.has(InsertByPatch):
			return b.eject(name, given)
		case rest == "Oem/Hpe/HpeiLOVirtualMedia.InsertVirtualMedia" && b.has(InsertByOem):
			return b.insert(name, in)
		case rest == "Oem/Hpe/HpeiLOVirtualMedia.EjectVirtualMedia" && b.has(InsertByOem):
			return b.eject(name, given)
		}
	}
	return errNotFound
}

func (b *BMC) reset(kind string) *problem {
	was := b.Machine.State()
	switch kind {
	case "On":
		b.Machine.SetPower(true)
	case "ForceOff", "GracefulShutdown":
		b.Machine.SetPower(false)
	case "ForceRestart":
		b.Machine.SetPower(false)
		b.Machine.SetPower(true)
	case "PushPowerButton":
		b.Machine.SetPower(!was.On)
	case "Nmi":
		b.Machine.Change(func(s *bmctest.State) { s.NMIs++ })
	default:
		return fail(http.StatusBadRequest, "Base.1.8.ActionParameterValueNotInList", "No such reset.")
	}
	if now := b.Machine.State().On; b.has(SlowPower) && now != was.On {
		b.power = []string{"Off", "PoweringOn", "PoweringOn"}
		if !now {
			b.power = []string{"On", "PoweringOff", "PoweringOff"}
		}
	}
	return nil
}

func (b *BMC) licensed() *problem {
	if b.Machine.State().Unlicensed {
		return fail(http.StatusForbidden, "iLO.2.14.LicenseKeyRequired", "A license key is required for virtual media.")
	}
	return nil
}

func (b *BMC) insert(name string, in object) *problem {
	if p := b.licensed(); p != nil {
		return p
	}
	image, _ := in["Image"].(string)
	d := b.inserted[name]
	switch {
	case b.has(InsertImageOnly) && len(in) > 1:
		return fail(http.StatusBadRequest, "Base.1.8.ActionParameterUnknown", "Inserted is not a parameter.")
	case b.has(InsertWantsTransfer) && in["TransferProtocolType"] == nil:
		return fail(http.StatusBadRequest, "Base.1.8.ActionParameterMissing", "TransferProtocolType is missing.")
	case image == "":
		return fail(http.StatusBadRequest, "Base.1.8.ActionParameterMissing", "Image is missing.")
	case d.image != "":
		return fail(http.StatusBadRequest, "Base.1.8.ActionParameterNotSupported", "There is a medium already.")
	case b.has(InsertForgets):
		return nil
	case b.has(InsertLater):
		d.late, d.looks = image, 3
		return nil
	}
	d.image = image
	b.Machine.Insert(name, image)
	return nil
}

func (b *BMC) eject(name string, given bool) *problem {
	d := b.inserted[name]
	switch {
	case b.has(EjectWantsNoBody) && given:
		return fail(http.StatusUnsupportedMediaType, "Base.1.8.UnsupportedMediaType", "The action takes no body.")
	case b.has(EjectWantsBody) && !given:
		return fail(http.StatusBadRequest, "Base.1.8.MalformedJSON", "The body is no JSON.")
	case b.has(EjectRefusesEmpty) && d.image == "":
		return fail(http.StatusBadRequest, "IDRAC.2.1.VRM0009", "No virtual media is connected.")
	}
	*d = drive{}
	b.Machine.Insert(name, "")
	return nil
}

func (b *BMC) patch(path string, body []byte, match string) *problem {
	var in struct {
		Boot             map[string]string
		SecureBootEnable *bool
		Password         *string

		ResetAllKeys, ResetToDefaultKeys bool
		Image                            *string
		Inserted                         *bool
	}
	if json.Unmarshal(body, &in) != nil {
		return fail(http.StatusBadRequest, "Base.1.8.MalformedJSON", "The body is no JSON of this resource.")
	}
	switch {
	case path == systemPath && b.has(SettingsResource):
		return fail(http.StatusMethodNotAllowed, "Base.1.8.OperationNotAllowed", "Change the settings resource.")
	case path == systemPath && b.has(WeakETag) && match != "" && match != b.etag():
		return fail(http.StatusPreconditionFailed, "Base.1.8.PreconditionFailed", "The ETag does not match.")
	case path == systemPath && b.has(WantsETag) && match == "":
		return fail(http.StatusPreconditionRequired, "Base.1.8.PreconditionRequired", "If-Match is missing.")
	case path == systemPath && b.has(WantsETag) && match != b.etag():
		return fail(http.StatusPreconditionFailed, "Base.1.8.PreconditionFailed", "The ETag does not match.")
	case path == systemPath, path == systemPath+"/Settings" && b.has(SettingsResource):
		return b.setBoot(in.Boot)
	case path == accountsPath+"/2" && in.Password != nil:
		if len(*in.Password) < bmctest.MinPassword {
			return fail(http.StatusBadRequest, "iLO.2.14.InvalidPasswordLength", "The password has a wrong length.")
		}
		b.Machine.SetPassword(bmctest.User, *in.Password)
		return nil
	case path == systemPath+"/SecureBoot" && in.SecureBootEnable != nil:
		b.Machine.Change(func(s *bmctest.State) { s.SecureBoot = *in.SecureBootEnable })
		return nil
	case path == systemPath+"/SecureBoot" && b.has(Gen9SecureBoot) && (in.ResetAllKeys || in.ResetToDefaultKeys):
		b.Machine.Change(func(s *bmctest.State) {
			s.Keys = map[bool]string{true: "DeleteAllKeys", false: "ResetAllKeysToDefault"}[in.ResetAllKeys]
		})
		return nil
	}
	for number, name := range map[string]string{"/1": "floppy", "/2": "cd"} {
		if path != b.mediaPath()+number || !b.has(InsertByPatch) {
			continue
		}
		if in.Image == nil || *in.Image == "" {
			return b.eject(name, true)
		}
		return b.insert(name, object{"Image": *in.Image})
	}
	return fail(http.StatusMethodNotAllowed, "Base.1.8.OperationNotAllowed", "The resource does not change.")
}

func (b *BMC) setBoot(in map[string]string) *problem {
	if b.Machine.CountDown(func(s *bmctest.State) *int { return &s.Post }) {
		return fail(http.StatusBadRequest, "iLO.2.14.UnableToModifyDuringSystemPOST", "Unable to modify during POST.")
	}
	now := b.system()["Boot"].(object)
	target, enabled, mode := in["BootSourceOverrideTarget"], in["BootSourceOverrideEnabled"], in["BootSourceOverrideMode"]
	switch {
	case b.has(NoopRefused) && enabled != "" && enabled == now["BootSourceOverrideEnabled"]:
		return fail(http.StatusBadRequest, "Base.1.8.PropertyValueConflict", "BootSourceOverrideEnabled is that already.")
	case b.has(WantsMode) && (target == "" || enabled == "" || mode == "") && (target != "" || enabled != ""):
		return fail(http.StatusBadRequest, "Base.1.8.PropertyMissing", "Mode, enabled and target belong together.")
	case b.has(OnceOnly) && enabled == "Continuous":
		return fail(http.StatusBadRequest, "Base.1.8.PropertyValueNotInList", "Continuous is not in the list.")
	case target != "" && !slices.Contains(b.targets(), target):
		return fail(http.StatusBadRequest, "Base.1.8.PropertyValueNotInList", "The target is not in the list.")
	}
	b.version++
	if mode != "" {
		b.Machine.Change(func(s *bmctest.State) {
			s.Mode = map[string]task.BootMode{"UEFI": task.UEFI, "Legacy": task.BIOS}[mode]
		})
	}
	if target == "" {
		return nil
	}
	if enabled == "" {
		enabled = now["BootSourceOverrideEnabled"].(string)
	}
	for d := range deviceNames {
		if b.targetOf(d) == target {
			b.Machine.SetBoot(d, (enabled == "Once" || b.has(SilentlyOnce)) && !b.has(OnlyPersistent))
		}
	}
	return nil
}
