package agent

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/driver"
	"github.com/ferrule/ferrule/task"
)

// parameters are what Deploy reads from a node beside [task.Node.BootInfo].
type parameters struct {
	Source      string      `instance_info:"image_source,required" help:"http or https URL of the image, or the path or file URL of one in a directory that is served"`
	Format      string      `instance_info:"image_disk_format" default:"raw" choices:"raw,qcow2" help:"format of the image"`
	Container   string      `instance_info:"image_container_format" default:"bare" choices:"bare,compressed" help:"what the image comes in: nothing, or a compression that the ramdisk undoes; the checksum is that of the compressed image"`
	HashAlgo    string      `instance_info:"image_os_hash_algo" help:"algorithm of image_os_hash_value: sha256, sha384 or sha512"`
	HashValue   string      `instance_info:"image_os_hash_value" help:"checksum of the image in hexadecimal"`
	Checksum    string      `instance_info:"image_checksum" help:"checksum of the image in hexadecimal where image_os_hash_value is not given; its length tells the algorithm"`
	User        string      `instance_info:"image_server_user" help:"user name that the image's server asks for (HTTP basic authentication)"`
	Password    task.Secret `instance_info:"image_server_password" help:"password for image_server_user"`
	ConfigDrive any         `instance_info:"configdrive" help:"config drive: base64 of a gzipped ISO 9660 image, its URL, or an object with meta_data, user_data, network_data and vendor_data to build one of"`

	partitions
}

// Properties implements [deploy.DeployInterface].
func (d *Deploy) Properties() task.Properties {
	all := task.PropertiesOf[parameters]()
	drive := all["instance_info.configdrive"]
	drive.Secret = true // also where it is no text
	all["instance_info.configdrive"] = drive
	return all
}

// Validate implements [deploy.DeployInterface]. An image file is looked at, a URL
// is not fetched.
func (d *Deploy) Validate(ctx context.Context, t *task.Task) error {
	const op = "agent.Validate"
	n := t.Node
	refuse := func(field string, err error, remedy string) error {
		return &task.Error{Op: op, Node: n.String(), Field: "instance_info." + field, Err: err, Remedy: remedy}
	}
	errs := task.Problems(driver.Of(t).Boot.Validate(ctx, t))
	info, err := n.BootInfo()
	errs = append(errs, task.Problems(err)...)
	var p parameters
	errs = append(errs, task.Problems(n.Decode(op, &p))...)
	errs = append(errs, p.checkPartitions(op, n, info)...)
	if p.Source != "" {
		if err := d.checkSource(p.Source); err != nil {
			errs = append(errs, refuse("image_source", err, d.sourceRemedy()))
		}
	}
	if _, err := d.checksum(p); err != nil {
		errs = append(errs, refuse(checksumField(p), err, "set image_os_hash_algo to sha256 and image_os_hash_value to the image's checksum"))
	}
	if err := checkConfigDrive(p.ConfigDrive); err != nil {
		errs = append(errs, refuse("configdrive", err, "give base64 of a gzipped ISO 9660 image, its http or https URL, or an object with meta_data, user_data, network_data and vendor_data"))
	}
	switch {
	case (p.User == "") != (p.Password == ""):
		errs = append(errs, refuse("image_server_password", task.ErrMissingParameter, "give image_server_user and image_server_password, or neither"))
	case p.User != "" && artifact.IsFile(p.Source):
		errs = append(errs, refuse("image_server_user", fmt.Errorf("%w: a file of this host needs no password", task.ErrInvalidParameter), "take it and image_server_password out"))
	}
	return task.Join(distinct(errs)...)
}

// distinct leaves out what the boot interface found already.
func distinct(errs []error) []error {
	seen := map[string]bool{}
	var once []error
	for _, err := range errs {
		if text := err.Error(); !seen[text] {
			seen[text] = true
			once = append(once, err)
		}
	}
	return once
}

// checkSource says why an image source cannot be used: it is neither a URL that
// ramdisks can fetch nor a file that can be served.
func (d *Deploy) checkSource(text string) error {
	if !artifact.IsFile(text) {
		_, err := artifact.ParseURL(text)
		return err
	}
	_, err := d.cfg.ImageDirs.Find(text)
	return err
}

func (d *Deploy) sourceRemedy() string {
	remedy := "use an http or https URL, with credentials in image_server_user and image_server_password"
	if len(d.cfg.ImageDirs) > 0 {
		remedy += ", or a file in " + strings.Join(d.cfg.ImageDirs, ", ")
	}
	return remedy
}

// imageKey is where instance_info has the URL that the ramdisk fetches.
const imageKey = "image_url"

// imagePrefix is what the tree's names of images begin with.
const imagePrefix = "agent_images/"

func imageOwner(n *task.Node) string { return n.UUID + "/image" }

// prepareImage decides what URL the ramdisk fetches, and has a file served
// under a name that cannot be guessed: whoever knows it can read the image.
func (d *Deploy) prepareImage(ctx context.Context, t *task.Task) error {
	const op = "agent.Prepare"
	n := t.Node
	var p parameters
	if err := n.Decode(op, &p); err != nil {
		return err
	}
	fail := func(err error, remedy string) error {
		return &task.Error{Op: op, Node: n.String(), Field: "instance_info.image_source", Err: err, Remedy: remedy}
	}
	if !artifact.IsFile(p.Source) {
		if _, err := artifact.ParseURL(p.Source); err != nil {
			return fail(err, d.sourceRemedy())
		}
		n.InstanceInfo[imageKey] = p.Source
		return d.withdraw(ctx, n) // what the instance named before may have been a file
	}
	a, err := d.cfg.ImageDirs.Find(p.Source)
	if err != nil {
		return fail(err, d.sourceRemedy())
	}
	// The name of an earlier call stays: a ramdisk may be reading.
	name := strings.TrimPrefix(n.InstanceInfo.Text(imageKey), d.cfg.TreeURL+"/")
	if !d.servesImage(n) {
		name = imagePrefix + n.UUID + "/" + artifact.Unguessable()
	}
	a.Name, a.Stage, a.Label = name, StageImage, imageID(p.Source)
	if err := d.cfg.Tree.Replace(ctx, imageOwner(n), a); err != nil {
		return fail(err, "")
	}
	n.InstanceInfo[imageKey] = d.cfg.TreeURL + "/" + name
	return nil
}

// servesImage says whether the node's ramdisk is told to fetch the image from the
// tree.
func (d *Deploy) servesImage(n *task.Node) bool {
	return strings.HasPrefix(n.InstanceInfo.Text(imageKey), d.cfg.TreeURL+"/"+imagePrefix+n.UUID+"/")
}

// withdrawImage ends what prepareImage began.
func (d *Deploy) withdrawImage(ctx context.Context, t *task.Task) error {
	if t.Exclusive() {
		delete(t.Node.InstanceInfo, imageKey)
	}
	return d.withdraw(ctx, t.Node)
}

func (d *Deploy) withdraw(ctx context.Context, n *task.Node) error {
	if d.cfg.Tree == nil {
		return nil
	}
	return d.cfg.Tree.Withdraw(ctx, imageOwner(n))
}

// imageArgs are the arguments of the agent's write_image, with the keys that
// Ironic sends. Ironic repeats the config drive in
// image_info, for agents older than the step; agents send back all they were
// given, and twice the largest one would pass the bound on their answers.
func (d *Deploy) imageArgs(n *task.Node) (task.Info, error) {
	const op = "agent.ExecuteStep"
	var p parameters
	if err := n.Decode(op, &p); err != nil {
		return nil, err
	}
	sum, err := d.checksum(p)
	if err != nil {
		return nil, &task.Error{Op: op, Node: n.String(), Field: "instance_info." + checksumField(p), Err: err}
	}
	location := n.InstanceInfo.Text(imageKey)
	if location == "" {
		return nil, &task.Error{Op: op, Node: n.String(), Field: "instance_info." + imageKey, Err: task.ErrMissingParameter, Remedy: "deploy again; Prepare sets it"}
	}
	image := map[string]any{
		"id": imageID(p.Source), "urls": []any{location}, "disk_format": p.Format, "container_format": p.Container,
		"stream_raw_images": true, "node_uuid": n.UUID,
	}
	if p.User != "" {
		image["image_server_auth_strategy"], image["image_server_user"], image["image_server_password"] = "http_basic", p.User, string(p.Password)
	}
	if sum.algo == "md5" {
		image["checksum"] = sum.hex // the only one that agents before the os_hash fields know
	} else {
		image["os_hash_algo"], image["os_hash_value"] = sum.algo, sum.hex
	}
	if err := p.addPartitions(op, n, image); err != nil {
		return nil, err
	}
	drive, err := configDrive(p.ConfigDrive)
	if err != nil {
		return nil, &task.Error{Op: op, Node: n.String(), Field: "instance_info.configdrive", Err: err}
	}
	return task.Info{"image_info": image, "configdrive": drive}, nil
}

// imageID is what the agent calls the image in its messages: the end of the
// source's path, without a query, which may hold a signature.
func imageID(source string) string {
	if u, err := url.Parse(source); err == nil {
		source = u.Path
	}
	return path.Base(source)
}
