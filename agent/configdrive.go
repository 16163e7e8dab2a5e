package agent

import (
	"context"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/deploy/configdrive"
	"github.com/ferrule/ferrule/task"
)

// maxConfigDrive bounds a config drive, in base64: agents make room for 64 MiB
// on the disk, and what is larger does not fit.
const maxConfigDrive = 64 << 20 / 3 * 4

// checkConfigDrive says why a config drive cannot be used. Its errors hold
// nothing of it.
func checkConfigDrive(v any) error {
	_, err := configDrive(v)
	return err
}

// configDrive is instance_info.configdrive as agents take it: nil for none, a
// URL, or base64 of a gzipped ISO 9660 image, which an object is built into.
func configDrive(v any) (any, error) {
	text, is := v.(string)
	text = strings.TrimSpace(text)
	switch {
	case v == nil, is && text == "":
		return nil, nil
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		if _, err := artifact.ParseURL(text); err != nil {
			return nil, fmt.Errorf("%w: a URL that cannot be used", task.ErrInvalidParameter)
		}
		return text, nil
	case len(text) > maxConfigDrive:
		return nil, fmt.Errorf("%w: longer than %d bytes", task.ErrInvalidParameter, maxConfigDrive)
	case strings.HasPrefix(text, gzipInBase64):
		return text, nil // the agent unpacks it
	}
	image, err := configdrive.From(context.Background(), v, nil) // which fetches nothing
	if err != nil {
		return nil, fmt.Errorf("%w: %w", task.ErrInvalidParameter, err)
	}
	return configdrive.Encode(image), nil
}

// gzipInBase64 is how base64 of what is gzipped begins.
const gzipInBase64 = "H4sI"
