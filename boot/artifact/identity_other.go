//go:build !unix

package artifact

import "io/fs"

func identity(fs.FileInfo) string { return "" }

func linked(fs.FileInfo) bool { return true }
