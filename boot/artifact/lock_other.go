//go:build !unix

package artifact

import (
	"context"
	"errors"
)

func lockFolder(context.Context, string) (func(), error) { return nil, errors.ErrUnsupported }
