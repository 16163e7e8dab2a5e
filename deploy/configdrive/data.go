package configdrive

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Data is what a config drive is built from. Parts that are nil are left out,
// but for the metadata, without which cloud-init does not know the drive; it
// wants a uuid in it.
type Data struct {
	MetaData    map[string]any
	UserData    any // a text, or an object that is written as JSON
	NetworkData map[string]any
	VendorData  map[string]any
}

// versions are the folders that readers of config drives look into.
var versions = []string{"2012-08-10", "latest"}

// ParseData reads the object that Ironic's API takes, and reports what is in it
// that nothing would read.
func ParseData(text []byte) (Data, error) {
	var raw struct {
		MetaData    map[string]any `json:"meta_data"`
		UserData    any            `json:"user_data"`
		NetworkData map[string]any `json:"network_data"`
		VendorData  map[string]any `json:"vendor_data"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(&raw); err != nil {
		return Data{}, fmt.Errorf("%w: it may have meta_data, network_data, vendor_data, which are objects, and user_data", ErrMalformed)
	}
	return Data(raw), nil
}

// ISO builds the image.
func (d Data) ISO() ([]byte, error) {
	contents := map[string][]byte{}
	if d.MetaData == nil {
		d.MetaData = map[string]any{}
	}
	for name, part := range map[string]map[string]any{"meta_data.json": d.MetaData, "network_data.json": d.NetworkData, "vendor_data.json": d.VendorData} {
		if part == nil {
			continue
		}
		text, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("%w: %s is no JSON", ErrMalformed, name)
		}
		contents[name] = text
	}
	switch user := d.UserData.(type) {
	case nil:
	case string:
		contents["user_data"] = []byte(user)
	case []byte:
		contents["user_data"] = user
	default:
		text, err := json.Marshal(user)
		if err != nil {
			return nil, fmt.Errorf("%w: user_data is no JSON", ErrMalformed)
		}
		contents["user_data"] = text
	}
	total := 0
	for _, c := range contents {
		total += len(c)
	}
	if total > MaxSize-maxOverhead {
		return nil, ErrTooLarge
	}
	return buildISO(contents), nil
}
