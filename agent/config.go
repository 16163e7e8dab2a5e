package agent

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/task"
)

// Config says how a [Deploy] works. APIURL is required.
type Config struct {
	// APIURL is where ramdisks find the [Handler] (ipa-api-url), without /v1.
	APIURL string

	// HTTPClient makes the calls to ramdisks, as [Client.HTTP].
	HTTPClient *http.Client

	// Tree serves the images that are files of this host. Nil allows images
	// with an http or https URL only.
	Tree artifact.Publisher

	// TreeURL is where ramdisks find Tree over HTTP; required with Tree.
	TreeURL string

	// ImageDirs are the directories whose files instances may name as their
	// image; Tree needs one at least.
	ImageDirs artifact.Dirs

	// AllowMD5 accepts image checksums that are MD5, which no longer protect
	// against a forged image.
	AllowMD5 bool

	// Insecure tells ramdisks not to verify the certificate of an APIURL that is
	// https (ipa-insecure): whoever is between can then take a ramdisk over.
	Insecure bool

	// CleanPriorities and DeployPriorities are priorities of steps, by
	// "interface.step", in place of those that the ramdisk lists and that this
	// type has. 0 leaves a step out; an instance's deploy_steps go before these.
	CleanPriorities, DeployPriorities map[string]int

	// Erase is how disks are erased.
	Erase Erase

	// FastTrack leaves a ramdisk running after cleaning, and has the deploy that
	// follows begin without a reboot if it still answers. The machine is on while
	// the node is available.
	FastTrack bool

	// LogDir is a directory for the logs of ramdisks in which a step failed, a
	// tar.gz file each, for the owner's eyes only. Empty collects none.
	LogDir string

	// Writer writes images in place of the ramdisk, over what that offers; Tree and
	// TreeURL are of no use then. Nil: the ramdisk fetches them and writes.
	Writer Writer

	// DeployParams are what the ramdisk of a deploy is told beside the parameters of
	// this package, which stay as they are; the network can read them. Nil: nothing.
	DeployParams func(t *task.Task) (boot.Params, error)

	// PowerOffWait is how long a ramdisk may take to power its machine off
	// before the BMC does it. 0 means 35 s.
	PowerOffWait time.Duration
}

// New returns a deploy interface. The error joins everything that is wrong with c.
func New(c Config) (*Deploy, error) {
	const op = "agent.New"
	var errs []error
	refuse := func(field string, err error, remedy string) {
		errs = append(errs, &task.Error{Op: op, Field: field, Err: err, Remedy: remedy})
	}
	baseURL := func(field, text, remedy string) string {
		u, err := artifact.ParseBaseURL(text)
		if err != nil {
			refuse(field, err, remedy)
			return ""
		}
		return u.String()
	}
	c.APIURL = baseURL("APIURL", c.APIURL, "set it to the URL where ramdisks reach the Handler")
	if c.Writer != nil {
		c.Tree, c.TreeURL = nil, ""
	} else if c.Tree != nil {
		c.TreeURL = baseURL("TreeURL", c.TreeURL, "set it to the URL where ramdisks reach Tree")
	} else if len(c.ImageDirs) > 0 {
		refuse("Tree", task.ErrMissingParameter, "images in ImageDirs need a tree that serves them")
	}
	if c.Tree != nil && len(c.ImageDirs) == 0 {
		refuse("ImageDirs", task.ErrMissingParameter, "name the directories whose files may be served as images")
	}
	dirs, err := c.ImageDirs.Clean()
	for _, p := range task.Problems(err) {
		refuse("ImageDirs", p, "use absolute paths")
	}
	for _, p := range []struct {
		field      string
		priorities map[string]int
	}{{"CleanPriorities", c.CleanPriorities}, {"DeployPriorities", c.DeployPriorities}} {
		for _, step := range slices.Sorted(maps.Keys(p.priorities)) {
			if role, name, ok := strings.Cut(step, "."); !ok || role == "" || name == "" || p.priorities[step] < 0 {
				refuse(p.field, fmt.Errorf("%w: %q: %d", task.ErrInvalidParameter, step, p.priorities[step]), "write interface.step, and a priority of 0 or more")
			}
		}
	}
	if c.Erase.Iterations < 0 || c.Erase.Concurrency < 0 {
		refuse("Erase", fmt.Errorf("%w: a negative number", task.ErrInvalidParameter), "")
	}
	if c.LogDir != "" && !filepath.IsAbs(c.LogDir) {
		refuse("LogDir", fmt.Errorf("%w: %q", task.ErrInvalidParameter, c.LogDir), "use an absolute path")
	}
	if c.PowerOffWait < 0 {
		refuse("PowerOffWait", fmt.Errorf("%w: %s", task.ErrInvalidParameter, c.PowerOffWait), "")
	}
	if err := task.Join(errs...); err != nil {
		return nil, err
	}
	c.ImageDirs = dirs
	if c.PowerOffWait == 0 {
		c.PowerOffWait = 35 * time.Second
	}
	return &Deploy{cfg: c, client: Client{HTTP: c.HTTPClient}}, nil
}
