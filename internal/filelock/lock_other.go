//go:build !unix

package filelock

import (
	"context"
	"errors"
	"os"
)

// Folder answers errors.ErrUnsupported.
func Folder(context.Context, string) (func(), error) { return nil, errors.ErrUnsupported }

// Try answers errors.ErrUnsupported.
func Try(*os.File) (bool, error) { return false, errors.ErrUnsupported }

// TryShare answers errors.ErrUnsupported.
func TryShare(*os.File) (bool, error) { return false, errors.ErrUnsupported }
