package agent

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/ferrule/ferrule/boot/artifact"
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
// URL, or base64 of a gzipped ISO 9660 image.
func configDrive(v any) (any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		text := strings.TrimSpace(v)
		if text == "" {
			return nil, nil
		}
		return text, checkDriveText(text)
	}
	return nil, fmt.Errorf("%w: neither a URL nor base64", task.ErrInvalidParameter)
}

func checkDriveText(text string) error {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		if _, err := artifact.ParseURL(text); err != nil {
			return fmt.Errorf("%w: a URL that cannot be used", task.ErrInvalidParameter)
		}
		return nil
	}
	if len(text) > maxConfigDrive {
		return fmt.Errorf("%w: longer than %d bytes", task.ErrInvalidParameter, maxConfigDrive)
	}
	// The beginning is enough to find what is no config drive at all.
	head := strings.Join(strings.Fields(text[:min(len(text), 1<<10)]), "")
	data, err := base64.StdEncoding.DecodeString(head[:len(head)/4*4])
	if err != nil {
		return fmt.Errorf("%w: not base64", task.ErrInvalidParameter)
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return fmt.Errorf("%w: not gzipped", task.ErrInvalidParameter)
	}
	return nil
}
