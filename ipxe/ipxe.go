package ipxe

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

// Config says how a [Boot] works. Tree and BaseURL are required.
type Config struct {
	// Tree is where scripts and images are published.
	Tree artifact.Publisher

	// BaseURL is the http or https URL at which machines reach Tree, with or
	// without a slash at its end.
	BaseURL string

	// ImageDirs are the directories of which nodes' deploy_kernel and
	// deploy_ramdisk may name files. None: nodes may give http and https URLs
	// only.
	ImageDirs artifact.Dirs

	// KernelArgs are added to the ramdisk's command line, unless the node has
	// its own. Empty means "nofb nomodeset vga=normal"; one space means none.
	KernelArgs string

	// Attempts is how often a machine tries to load kernel and ramdisk before it
	// switches itself off, with a pause of as many seconds as attempts were made
	// in between. 0 means 10.
	Attempts int

	// FetchTimeout ends an attempt in which no byte comes for that long. 0 means
	// 60 s.
	FetchTimeout time.Duration
}

const (
	defaultKernelArgs   = "nofb nomodeset vga=normal"
	defaultAttempts     = 10
	defaultFetchTimeout = time.Minute
)

// Boot boots nodes by iPXE. Use [New].
type Boot struct {
	cfg  Config
	base *url.URL
	args boot.KernelArgs // of cfg.KernelArgs
}

var (
	_ boot.BootInterface       = (*Boot)(nil)
	_ boot.Capable             = (*Boot)(nil)
	_ boot.InspectionValidator = (*Boot)(nil)
	_ task.Stager              = (*Boot)(nil)
)

// entryOwner publishes what is not of one node. No node can have that UUID here.
const entryOwner = "ipxe"

const entryName = "boot.ipxe"

// New returns a Boot with the entry script published in c.Tree. The error
// reports every bad field of c, each an ErrInvalidParameter of package task.
func New(ctx context.Context, c Config) (*Boot, error) {
	const op = "ipxe.New"
	var errs []error
	bad := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Field: "Config." + field, Err: err, Remedy: remedy})
	}
	if c.Tree == nil {
		bad("Tree", task.ErrMissingParameter, "give the artifact.Tree or artifact.Folder that is served at BaseURL")
	}
	base, err := artifact.ParseBaseURL(c.BaseURL)
	if err == nil {
		err = scriptable(base)
	}
	if err != nil {
		bad("BaseURL", err, "give the http or https URL at which machines reach the tree")
	}
	c.ImageDirs, err = c.ImageDirs.Clean()
	for _, p := range task.Problems(err) {
		bad("ImageDirs", p, "give absolute paths")
	}
	if c.KernelArgs == "" {
		c.KernelArgs = defaultKernelArgs
	}
	args, err := parseArgs(c.KernelArgs)
	for _, p := range task.Problems(err) {
		bad("KernelArgs", p, "")
	}
	if c.Attempts < 0 || c.FetchTimeout < 0 || (c.FetchTimeout > 0 && c.FetchTimeout < time.Millisecond) {
		bad("Attempts and FetchTimeout", fmt.Errorf("%w: %d and %s", task.ErrInvalidParameter, c.Attempts, c.FetchTimeout), "leave them 0, or give a number above 0 and at least 1 ms")
	}
	if c.Attempts == 0 {
		c.Attempts = defaultAttempts
	}
	if c.FetchTimeout == 0 {
		c.FetchTimeout = defaultFetchTimeout
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	entry := artifact.Artifact{Name: entryName, Data: entryScript(c.FetchTimeout), ContentType: scriptType}
	if err := c.Tree.Publish(ctx, entryOwner, entry); err != nil {
		return nil, err
	}
	return &Boot{cfg: c, base: base, args: args}, nil
}

// EntryURL returns the URL that the site's DHCP server hands to iPXE as the boot
// file. A DHCP answer that has it in its file field, not in option 67, has room
// for 127 bytes.
func (b *Boot) EntryURL() string { return b.url(entryName) }

// url returns where the artifact with that name is fetched from. Joining is by
// path segments: a base URL without a slash at its end keeps its last segment.
func (b *Boot) url(name ...string) string { return b.base.JoinPath(name...).String() }

// Properties describes the parameters that Boot reads from a node.
func (b *Boot) Properties() task.Properties { return task.PropertiesOf[parameters]() }

// Capabilities says that Boot boots ramdisks, and no instances over the network.
func (b *Boot) Capabilities() []boot.Capability { return []boot.Capability{boot.RamdiskBoot} }

// Stages lists what will be seen of t's node on its way to the ramdisk: kernel
// and ramdisk only where the tree serves them, not from elsewhere.
func (b *Boot) Stages(t *task.Task) []string {
	stages := []string{boot.StageScript}
	for _, image := range []struct{ key, stage string }{{kernelName, boot.StageKernel}, {ramdiskName, boot.StageRamdisk}} {
		if artifact.IsFile(t.Node.DriverInfo.Text(image.key)) {
			stages = append(stages, image.stage)
		}
	}
	return stages
}
