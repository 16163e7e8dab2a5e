package ramdisk

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ferrule/ferrule/deploy/configdrive"
	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
	"github.com/ferrule/ferrule/task"
)

// An imageInfo is the image_info of write_image and prepare_image.
type imageInfo struct {
	ID         string          `json:"id"`
	URLs       []string        `json:"urls"`
	DiskFormat string          `json:"disk_format"`
	Type       string          `json:"image_type"`
	Checksum   string          `json:"checksum"`
	HashAlgo   string          `json:"os_hash_algo"`
	HashValue  string          `json:"os_hash_value"`
	Drive      json.RawMessage `json:"configdrive"`

	partitions

	AuthStrategy  string      `json:"image_server_auth_strategy"`
	User          string      `json:"image_server_user"`
	Password      task.Secret `json:"image_server_password"`
	Authorization task.Secret `json:"image_request_authorization"` // header value in base64
}

// decodeImage reads image_info and configdrive. Its errors are of form; whether
// the agent can do what is asked is found when it does.
func decodeImage(p parameters) (*imageInfo, error) {
	i := &imageInfo{}
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

// decided is an image_info whose every part was read.
type decided struct {
	format image.Format
	sum    image.Checksum
	header http.Header // of requests for the image
	drive  []byte      // nil if there is none
	layout disk.Layout // of a partition image
}

// decide reads what of i says how the image is written, and refuses what cannot
// be done before anything was.
func (a *agent) decide(ctx context.Context, i *imageInfo) (d decided, err error) {
	switch i.Type {
	case "", string(task.WholeDisk), string(task.Partition):
	default:
		return d, invalidImage(fmt.Sprintf("image_type %q is neither whole-disk nor partition", i.Type))
	}
	if d.format, err = image.ParseFormat(i.DiskFormat); err != nil {
		return d, invalidImage(fmt.Sprintf("disk_format %q is not supported by this ramdisk, only raw and qcow2 are", i.DiskFormat))
	}
	if d.sum, err = i.checksum(a.node.md5); err != nil {
		return d, err
	}
	if d.header, err = i.authorization(); err != nil {
		return d, err
	}
	if i.isPartition() {
		facts := a.told()
		if d.layout, err = i.layout(facts.Properties.Text("cpu_arch")); err != nil {
			return d, err
		}
	}
	if empty(i.Drive) {
		return d, nil
	}
	var value any
	if err = json.Unmarshal(i.Drive, &value); err == nil {
		d.drive, err = configdrive.From(ctx, value, a.client)
	}
	if err != nil {
		return d, driveError(err)
	}
	d.layout.ConfigDriveMiB = (int64(len(d.drive)) + mib - 1) / mib
	return d, nil
}

const mib = 1 << 20

func driveError(err error) error {
	return &commandError{"ConfigDriveWriteError", http.StatusInternalServerError, "Error writing config drive", err.Error()}
}

// checksum returns what to verify: os_hash_value, else checksum, whose algorithm
// follows from its length or stands before it, as sha256:….
func (i *imageInfo) checksum(md5Allowed bool) (image.Checksum, error) {
	if strings.HasPrefix(i.Checksum, "http") && i.HashValue == "" {
		return image.Checksum{}, invalidImage("files of checksums are not supported by this ramdisk; give os_hash_algo and os_hash_value")
	}
	algo, value := i.HashAlgo, i.HashValue
	if value == "" {
		algo, value = "", i.Checksum
	}
	sum, err := image.ParseChecksum(algo, value)
	switch {
	case errors.Is(err, image.ErrWeak) && md5Allowed:
		return sum, nil
	case err != nil:
		return sum, invalidImage(err.Error() + "; give os_hash_algo and os_hash_value")
	}
	return sum, nil
}

// authorization returns the credentials that requests for the image have.
func (i *imageInfo) authorization() (http.Header, error) {
	req := http.Request{Header: http.Header{}}
	if i.AuthStrategy == "http_basic" {
		req.SetBasicAuth(i.User, string(i.Password))
	}
	if i.Authorization != "" {
		value, err := base64.StdEncoding.DecodeString(string(i.Authorization))
		if err != nil {
			return nil, downloadError(i, "image_request_authorization is not base64")
		}
		req.Header.Set("Authorization", string(value))
	}
	return req.Header, nil
}

func downloadError(i *imageInfo, why string) error {
	return &commandError{
		"ImageDownloadError", http.StatusInternalServerError, "Error downloading image",
		fmt.Sprintf("Download of image %s failed: %s", i.ID, why),
	}
}
