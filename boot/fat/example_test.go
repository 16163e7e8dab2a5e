package fat_test

import (
	"fmt"
	"os"

	"github.com/ferrule/ferrule/boot/fat"
)

func Example() {
	floppy, err := fat.New(fat.Config{Label: "IR-VFD-DEV", Size: fat.Floppy, Files: []fat.File{
		fat.Bytes("parameters.txt", []byte("ipa-api-url=http://192.0.2.1:6385\n")),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := os.CreateTemp("", "floppy-*.img")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	n, err := floppy.WriteTo(f)
	fmt.Println(n, err)
	// Output: 1474560 <nil>
}
