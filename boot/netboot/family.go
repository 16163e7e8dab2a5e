package netboot

import (
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/boot/loader"
	"github.com/ferrule/ferrule/task"
)

// A Family is a kind of boot loader, or several that are used together: what
// differs between the ways of booting over the network. All functions are
// required.
type Family struct {
	// Name names the family in errors, as "ipxe".
	Name string

	// Capabilities are what the family can do.
	Capabilities []boot.Capability

	// Bootfiles name the loaders that firmware fetches, by kind of client. They
	// are files of LoaderFiles, or of the site's own servers.
	Bootfiles map[dhcp.Client]string

	// LoaderFiles are the loaders and whatever they fetch from beside themselves:
	// names below the tree and absolute paths of files on this host. They are
	// published for all, and where DHCP is told what to say, for each node again:
	// what a machine fetches shows how far it got.
	LoaderFiles map[string]string

	// Script names what clients fetch that are iPXE already; empty for none.
	Script string

	// Shared is what the loaders of all machines read.
	Shared []artifact.Artifact

	// FetchesURLs says that the loaders can fetch images by http and https.
	FetchesURLs bool

	// Devices are the boot devices that lead to the loaders, the best first.
	Devices []boot.Device

	// Rules say which kernel arguments the loaders would not hand over as they are.
	Rules []loader.Rule

	// CheckURL reports why a loader cannot fetch from a URL, with FetchesURLs.
	CheckURL func(url string) error

	// CheckInstance reports what an instance asks for that the loaders cannot do,
	// each problem a [Refusal].
	CheckInstance func(task.BootInfo) []Refusal

	// Render returns what the loaders read to boot a target: everything for that
	// NIC, or a problem with the command line.
	Render func(Target) ([]artifact.Artifact, error)
}

// A Refusal is something that an instance asks for in vain.
type Refusal struct {
	Field  string // as "instance_info.capabilities"
	What   string
	Remedy string
}

// A Kind is what a target is.
type Kind int

// The kinds of targets.
const (
	Ramdisk        Kind = iota // a deploy or rescue ramdisk
	InstanceKernel             // an instance's kernel and ramdisk, its root file system on disk
	TrustedKernel              // the same, measured by tboot
	InstanceDisk               // the boot loader on the instance's disk
	InstanceVolume             // a remote iSCSI volume
)

// A Target is what one NIC of a node is to boot.
type Target struct {
	Kind Kind
	Node string // UUID
	NIC  NIC

	// Folder is a folder of the node's own that its loader was fetched from; empty
	// where that came from the top of the tree.
	Folder string

	// Kernel, Ramdisk and Args, with everything but what names ramdisk and NIC,
	// are there for the first three kinds.
	Kernel, Ramdisk Image
	Args            boot.KernelArgs

	// DiskID is the MBR identifier of the disk that an InstanceDisk is on, as
	// "0x12345678"; empty where nothing is known of it.
	DiskID string

	Volume Volume
}

// An Image is a kernel or ramdisk that machines fetch.
type Image struct {
	Name string // below the tree: the node's UUID, a slash and a word
	URL  string // set for one that is fetched from elsewhere
}

// Word is the last element of the image's name, as "deploy_kernel".
func (i Image) Word() string { return i.Name[strings.LastIndexByte(i.Name, '/')+1:] }
