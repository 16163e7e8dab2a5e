package ramdisk

// DecodeCommandForTest decodes a command's body and, where it is about an
// image, that.
func DecodeCommandForTest(body []byte) (name string, err error) {
	name, params, err := decodeCommand(body)
	if err == nil {
		if i, err := decodeImage(params); err == nil {
			i.supported()
			i.digest(false)
		}
		checkVersion(params["deploy_version"])
		empty(params["configdrive"])
	}
	return name, err
}

// ContentRangeForTest is the reader of Content-Range.
var ContentRangeForTest = contentRange
