package ramdisk

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/ferrule/ferrule/task"
)

// An image is the image_info of write_image and prepare_image.
type image struct {
	ID         string          `json:"id"`
	URLs       []string        `json:"urls"`
	DiskFormat string          `json:"disk_format"`
	Type       string          `json:"image_type"`
	Checksum   string          `json:"checksum"`
	HashAlgo   string          `json:"os_hash_algo"`
	HashValue  string          `json:"os_hash_value"`
	Drive      json.RawMessage `json:"configdrive"`

	AuthStrategy  string      `json:"image_server_auth_strategy"`
	User          string      `json:"image_server_user"`
	Password      task.Secret `json:"image_server_password"`
	Authorization task.Secret `json:"image_request_authorization"` // header value in base64
}

// decodeImage reads image_info and configdrive. Its errors are of form; whether
// the agent can do what is asked is found when it does.
func decodeImage(p parameters) (*image, error) {
	i := &image{}
	if len(p["image_info"]) == 0 {
		return nil, invalidParams("'image_info' is missing")
	}
	if err := json.Unmarshal(p["image_info"], i); err != nil {
		return nil, invalidParams("'image_info' is malformed: " + jsonField(err))
	}
	switch {
	case i.ID == "":
		return nil, invalidParams("Image is missing 'id' field.")
	case len(i.URLs) == 0:
		return nil, invalidParams("Image is missing 'urls' field.")
	case (i.HashAlgo == "") != (i.HashValue == ""):
		return nil, invalidParams("Image 'os_hash_algo' and 'os_hash_value' go together.")
	case i.Checksum == "" && i.HashValue == "":
		return nil, invalidParams("Image is missing 'os_hash_value' or 'checksum' field.")
	}
	for _, text := range i.URLs {
		if u, err := url.Parse(text); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return nil, invalidParams("Image 'urls' are not all http or https URLs.")
		}
	}
	if !empty(p["configdrive"]) {
		i.Drive = p["configdrive"]
	}
	return i, nil
}

// jsonField says where a JSON error is, without its values.
func jsonField(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%s is a %s", kind.Field, kind.Value)
	}
	return "not a JSON object"
}

func invalidImage(details string) error {
	return &commandError{"InvalidImage", http.StatusInternalServerError, "The provided image is not valid for use", details}
}

// supported refuses what this agent cannot write.
func (i *image) supported() error {
	switch {
	case i.Type != "" && i.Type != string(task.WholeDisk):
		return invalidImage(fmt.Sprintf("image_type %q is not supported by this ramdisk, only whole-disk is", i.Type))
	case i.DiskFormat != "raw":
		return invalidImage(fmt.Sprintf("disk_format %q is not supported by this ramdisk, only raw is", i.DiskFormat))
	case !empty(i.Drive):
		return &commandError{"ConfigDriveWriteError", http.StatusInternalServerError, "Error writing config drive", "config drives are not supported by this ramdisk"}
	}
	return nil
}

var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New,
}

// A digest is what an image's content must hash to.
type digest struct {
	algo, value string // value in lower case hex
}

// digest returns the checksum to verify: os_hash_value, else checksum, whose
// algorithm follows from its length or stands before it, as sha256:….
func (i *image) digest(md5Allowed bool) (digest, error) {
	d := digest{strings.ToLower(i.HashAlgo), strings.ToLower(i.HashValue)}
	if d.value == "" {
		var named bool
		if d.algo, d.value, named = strings.Cut(strings.ToLower(strings.TrimSpace(i.Checksum)), ":"); !named {
			d.algo, d.value = "", d.algo
		}
	}
	if strings.HasPrefix(i.Checksum, "http") && i.HashValue == "" {
		return d, invalidImage("files of checksums are not supported by this ramdisk; give os_hash_algo and os_hash_value")
	}
	sum, err := hex.DecodeString(d.value)
	for algo, newHash := range hashes {
		if d.algo == "" && newHash().Size() == len(sum) {
			d.algo = algo
		}
	}
	newHash := hashes[d.algo]
	switch {
	case d.algo == "":
		return d, invalidImage("the checksum has the length of no known algorithm")
	case newHash == nil:
		return d, invalidImage(fmt.Sprintf("checksum algorithm %q is unknown", d.algo))
	case err != nil || newHash().Size() != len(sum):
		return d, invalidImage("the checksum is not one of " + d.algo + " in hexadecimal")
	case d.algo == "md5" && !md5Allowed:
		return d, invalidImage("md5 checksums are not allowed; give os_hash_algo and os_hash_value of a stronger one")
	}
	return d, nil
}

// authorize gives a request for the image its credentials.
func (i *image) authorize(req *http.Request) error {
	if i.AuthStrategy == "http_basic" {
		req.SetBasicAuth(i.User, string(i.Password))
	}
	if i.Authorization != "" {
		value, err := base64.StdEncoding.DecodeString(string(i.Authorization))
		if err != nil {
			return errors.New("image_request_authorization is not base64")
		}
		req.Header.Set("Authorization", string(value))
	}
	return nil
}

// writeImage puts i on the root device and returns what became of it.
func (a *agent) writeImage(ctx context.Context, c *command, i *image) (string, error) {
	if err := i.supported(); err != nil {
		return "", err
	}
	sum, err := i.digest(a.node.md5)
	if err != nil {
		return "", err
	}
	disks, err := a.host.Disks(ctx)
	if err != nil {
		return "", err
	}
	facts := a.told()
	target, err := facts.rootDevice(disks)
	if err != nil {
		return "", &commandError{
			"DeviceNotFound", http.StatusNotFound,
			"Error finding the disk or partition device to deploy the image onto", err.Error(),
		}
	}
	err = a.onDisk(ctx, target.Name, func(d Disk) error {
		w := &imageWriter{disk: d, size: target.Size, name: target.Name, newHash: hashes[sum.algo], report: c.report}
		return a.fill(ctx, w, i, sum)
	})
	if err != nil {
		return "", err
	}
	a.writtenDisk(target.Name)
	text := fmt.Sprintf("image (%s) written to device %s root_uuid=None", i.ID, target.Name)
	a.log.Info("image written", "image", i.ID, "disk", target.Name)
	return text, nil
}

// fill downloads i to w from the first URL that gives the right content. A
// disk that does not hold that in the end holds nothing that boots.
func (a *agent) fill(ctx context.Context, w *imageWriter, i *image, sum digest) (err error) {
	defer func() {
		if err == nil || !w.touched {
			return
		}
		if wipeErr := wipeEnds(w.disk, w.size); wipeErr != nil {
			err = w.failed(fmt.Sprintf("%v; and what was written could not be wiped: %v", err, wipeErr))
		}
	}()
	if a.settings.downloadMax > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, a.settings.downloadMax, errors.New("ipa-image-download-max-duration is over"))
		defer cancel()
	}
	var problems []string
	for _, u := range i.URLs {
		w.restart()
		err := a.download(ctx, w, i, u)
		if err == nil {
			return w.finish(i, sum)
		}
		var final *commandError
		if errors.As(err, &final) {
			return err
		}
		problems = append(problems, fmt.Sprintf("%s: %v", withoutSecrets(u), err))
		if ctx.Err() != nil {
			break
		}
	}
	return &commandError{
		"ImageDownloadError", http.StatusInternalServerError, "Error downloading image",
		fmt.Sprintf("Download of image %s failed: %s", i.ID, strings.Join(problems, "; ")),
	}
}

// withoutSecrets returns the part of a URL that may be shown: credentials are
// in user info and, for temporary URLs, in the query.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "malformed URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// An imageWriter writes one image to one disk, from start to end.
type imageWriter struct {
	disk    Disk
	name    string
	size    int64 // of the disk
	newHash func() hash.Hash
	report  func(done, total int64)

	hash    hash.Hash
	start   []byte // of the image, as much as tells its format
	done    int64  // bytes written
	total   int64  // bytes of the image, 0 while unknown
	touched bool
}

func (w *imageWriter) restart() {
	w.hash, w.start, w.done, w.total = w.newHash(), nil, 0, 0
}

// expect learns the image's size and refuses one that does not fit.
func (w *imageWriter) expect(total int64) error {
	if total > w.size {
		return w.tooLarge(fmt.Sprintf("of %d bytes ", total))
	}
	w.total = total
	w.report(w.done, total)
	return nil
}

func (w *imageWriter) tooLarge(size string) error {
	return w.failed(fmt.Sprintf("the image %sis larger than the disk of %d bytes", size, w.size))
}

func (w *imageWriter) failed(details string) error {
	return &commandError{
		"ImageWriteError", http.StatusInternalServerError, "Error writing image to device",
		fmt.Sprintf("Writing image to device %s failed: %s", w.name, details),
	}
}

// blocks are buffers of a block, shared by all agents of a process.
var blocks = sync.Pool{New: func() any { return new([blockSize]byte) }}

// write appends at most a block. Its errors are final.
func (w *imageWriter) write(block []byte) error {
	if more := formatStart - len(w.start); more > 0 { // a connection may break within the first bytes
		w.start = append(w.start, block[:min(more, len(block))]...)
		if format := otherFormat(w.start); format != "" {
			return invalidImage(fmt.Sprintf("disk_format is raw, but the image is %s", format))
		}
	}
	n := int64(len(block))
	if n > w.size-w.done {
		return w.tooLarge("")
	}
	w.hash.Write(block)
	w.touched = true
	var err error
	if z, ok := w.disk.(Zeroer); ok && bytes.Equal(block, zeros[:n]) {
		err = z.Zero(w.done, n)
	} else {
		_, err = w.disk.WriteAt(block, w.done)
	}
	if err != nil {
		return w.failed(err.Error())
	}
	w.done += n
	w.report(w.done, w.total)
	return nil
}

// formatStart is how many bytes otherFormat looks at.
const formatStart = 8

// otherFormat names the format that an image claimed to be raw really has, if
// the start of its content tells one.
func otherFormat(start []byte) string {
	for _, f := range []struct{ name, magic string }{
		{"qcow2", "QFI\xfb"}, {"vmdk", "KDMV"}, {"vhdx", "vhdxfile"}, {"vhd", "conectix"},
		{"compressed by gzip", "\x1f\x8b\x08"}, {"compressed by xz", "\xfd7zXZ\x00"}, {"compressed by zstd", "\x28\xb5\x2f\xfd"},
	} {
		if bytes.HasPrefix(start, []byte(f.magic)) {
			return f.name
		}
	}
	return ""
}

// finish verifies what was written and makes sure that it is on the medium.
func (w *imageWriter) finish(i *image, sum digest) error {
	if w.done == 0 {
		return invalidImage("the image is empty")
	}
	if got := hex.EncodeToString(w.hash.Sum(nil)); got != sum.value {
		return &commandError{
			"ImageChecksumError", http.StatusInternalServerError, "Error verifying image checksum",
			fmt.Sprintf("Image failed to verify against checksum. location: %s; image ID: %s; image checksum: %s; verification checksum: %s",
				w.name, i.ID, sum.value, got),
		}
	}
	if err := w.disk.Sync(); err != nil {
		return w.failed(err.Error())
	}
	return nil
}
