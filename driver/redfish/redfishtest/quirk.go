package redfishtest

// A Quirk is a way in which some BMC differs from what one would expect.
type Quirk string

// The quirks.
const (
	InsertImageOnly     Quirk = "insert takes the image only"                    // Supermicro X11 and X12 refuse Inserted and WriteProtected (sushy, resources/manager/virtual_media.py)
	InsertWantsTransfer Quirk = "insert wants the transfer protocol"             // ActionParameterMissing until TransferProtocolType is given (sushy, the same; NVIDIA)
	InsertByPatch       Quirk = "no insert action"                               // media change by PATCH of Image (DSP0268, VirtualMedia before 1.2; sushy's fall-back)
	InsertByOem         Quirk = "insert by the vendor's action only"             // HPE's InsertVirtualMedia (iLO 5 REST API before 2.10; proliantutils, redfish/resources/manager/virtual_media.py)
	InsertLater         Quirk = "insert is done later"                           // answers 202 and mounts some seconds afterwards (DSP0266, 12.2)
	InsertForgets       Quirk = "insert is acknowledged and not done"            // the drive stays empty (ironic bug 2009278: URLs that the BMC does not like)
	EjectWantsNoBody    Quirk = "eject refuses an empty object"                  // 415 with a body (sushy, the same)
	EjectWantsBody      Quirk = "eject wants an empty object"                    // 400 without one (sushy, the same)
	EjectRefusesEmpty   Quirk = "eject refuses an empty drive"                   // (ironic, redfish/boot.py)
	StaleInserted       Quirk = "says inserted though the medium is lost"        // until it is ejected (ironic 1069c0f1e, 2026)
	NoInsertedField     Quirk = "does not say whether a medium is there"         // Inserted is null (DSP0268: it is optional)
	DVDOnly             Quirk = "the drive says DVD, not CD"                     // (ironic bug 2031595)
	ManagerMedia        Quirk = "drives below the manager"                       // and not below the system (ironic bug 2039042)
	UsbCd               Quirk = "the virtual CD is UsbCd"                        // Supermicro (ironic, redfish/management.py)
	NoopRefused         Quirk = "refuses a setting that changes nothing"         // BootSourceOverrideEnabled (ironic, redfish/management.py)
	WantsMode           Quirk = "wants mode, enabled and target each time"       // AMI and ASRock Rack (ironic, redfish/management.py)
	OnceOnly            Quirk = "no persistent boot device"                      // Continuous is refused (ironic, redfish/management.py)
	OnlyPersistent      Quirk = "every boot device is for every boot"            // sushy-tools with libvirt (sushy_tools/emulator/resources/systems/libvirtdriver.py)
	SilentlyOnce        Quirk = "a persistent boot device is taken for one boot" // and nothing is said of it (ironic, redfish/management.py)
	SettingsResource    Quirk = "boot changes go to a settings resource"         // (DSP0266, 9.9; HPE Gen9)
	WantsETag           Quirk = "wants If-Match"                                 // 428 without, 412 with another (DSP0266, 6.5)
	WeakETag            Quirk = "gives a weak ETag and wants the strong one"     // (sushy, connector.py and utils.py; RFC 9110, 13.1.1)
	NoSessions          Quirk = "no session service"                             // user name and password in each request (DSP0266, 13.3.3), 401 to who asks for a session (sushy_tools/emulator/auth_basic.py)
	AbsoluteLocation    Quirk = "session location is a whole URL"                // by a name of its own (sushy, connector.py)
	ShortSessions       Quirk = "sessions end soon"                              // after five requests, 401 (DSP0266, 13.3.4.3)
	WantsSlash          Quirk = "redirects to the path with a slash at its end"  // 308 (HPE, "iLO 5 adaptation guide": before 1.40)
	SlowPower           Quirk = "power changes late"                             // PoweringOn first (DSP0268, PowerState)
	Gen9SecureBoot      Quirk = "secure boot is the vendor's own"                // in Oem.Hp, without actions (HPE, "iLO 5 adaptation guide")
	NoIPMI              Quirk = "IPMI is none of its protocols"                  // (DSP0268, ManagerNetworkProtocol: it is optional)
	EchoesPassword      Quirk = "messages repeat what was sent"                  // passwords too (seen in logs of several BMCs)
)

// A Personality is a vendor's kind of BMC.
type Personality struct {
	Name         string
	Manufacturer string
	Model        string
	Quirks       []Quirk
	vendor       string // in Oem; "" for none
}

// The personalities.
var (
	Generic     = Personality{Name: "generic", Manufacturer: "Contoso", Model: "Generic 1"}
	ILO4        = Personality{"iLO 4", "HP", "ProLiant DL380 Gen9", []Quirk{ManagerMedia, InsertByPatch, Gen9SecureBoot}, "Hp"}
	ILO5        = Personality{"iLO 5", "HPE", "ProLiant DL380 Gen10", []Quirk{ManagerMedia, InsertByOem, NoopRefused, WantsETag}, "Hpe"}
	ILO6        = Personality{"iLO 6", "HPE", "ProLiant DL380 Gen11", []Quirk{ManagerMedia, EjectWantsBody, WantsETag}, "Hpe"}
	IDRAC9      = Personality{"iDRAC 9", "Dell Inc.", "PowerEdge R640", []Quirk{ManagerMedia, EjectRefusesEmpty, InsertLater, AbsoluteLocation}, "Dell"}
	SupermicroX = Personality{"Supermicro X12", "Supermicro", "SYS-620P", []Quirk{ManagerMedia, InsertImageOnly, UsbCd, EjectWantsBody}, "Supermicro"}
	LenovoXCC   = Personality{"Lenovo XCC", "Lenovo", "ThinkSystem SR650", []Quirk{InsertByPatch, NoInsertedField, WantsETag}, "Lenovo"}
	AMI         = Personality{"AMI MegaRAC", "ASRockRack", "1U12E", []Quirk{DVDOnly, WantsMode, OnceOnly, InsertWantsTransfer, EjectWantsNoBody}, "Ami"}
)

// Personalities returns all of them.
func Personalities() []Personality {
	return []Personality{Generic, ILO4, ILO5, ILO6, IDRAC9, SupermicroX, LenovoXCC, AMI}
}
