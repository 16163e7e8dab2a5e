// Package configdrive makes config drives: the small file system, labelled
// config-2, from which cloud-init and its kin in an instance learn who they are.
//
//	iso, err := configdrive.Data{MetaData: map[string]any{"uuid": id, "hostname": "web-1"}, UserData: "#cloud-config\n…"}.ISO()
//
// [From] takes all forms that Ironic's instance_info.configdrive has: base64 of a
// gzipped image, the URL of such a text, or an object with meta_data, user_data,
// network_data and vendor_data. [Encode] makes the first of these forms.
// Package disk puts a config drive on a disk.
//
// An image made here is ISO 9660 with Joliet and Rock Ridge names, has the
// folders openstack/latest and openstack/2012-08-10, and is the same, byte for
// byte, whenever it is made of the same data. No config drive is larger than
// [MaxSize].
//
// Config drives hold secrets: no error shows any of their content, or the user
// info and query of a URL.
package configdrive
