package iso_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/iso"
)

func Example() {
	dir, err := os.MkdirTemp("", "iso-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := func(name string) *os.File { // any bytes will do here
		path := filepath.Join(dir, name)
		_ = os.WriteFile(path, make([]byte, 1<<20), 0o600)
		f, _ := os.Open(path)
		return f
	}
	base, err := iso.Open(iso.Config{
		Kernel:  file("vmlinuz"),
		Ramdisk: file("initrd"),
		Loaders: map[string]string{"bootx64.efi": file("shim").Name(), "grubx64.efi": file("grub").Name()},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer base.Close()

	image, err := base.Image(boot.KernelArgs{{Key: "ipa-api-url", Value: "http://192.0.2.1:6385"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(image)
	defer server.Close()
	r, err := http.Head(server.URL + "/node-1.iso")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(base.Modes(), r.ContentLength == image.Size(), r.Header.Get("ETag") == image.ETag())
	// Output: [uefi] true true
}
