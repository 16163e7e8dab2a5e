package media_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/boot/iso"
	"github.com/ferrule/ferrule/driver/sim/media"
	"github.com/ferrule/ferrule/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func Example() {
	floppy, err := fat.New(fat.Config{Label: "IR-VFD-DEV", Size: fat.Floppy, Files: []fat.File{fat.Bytes("parameters.txt", []byte("a=b"))}})
	if err != nil {
		fmt.Println(err)
		return
	}
	disk, err := media.OpenFAT(floppy)
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := disk.ReadFile("PARAMETERS.TXT")
	fmt.Printf("%s: %s %v\n", disk.Label, text, err)
	// Output: IR-VFD-DEV: a=b <nil>
}

// disc returns the bytes of a small boot ISO.
func disc(t testing.TB) []byte {
	dir := t.TempDir()
	make := func(name string, size int) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte(name), size/len(name)), 0o600))
		return path
	}
	open := func(name string, size int) *os.File {
		f, err := os.Open(make(name, size))
		require.NoError(t, err)
		return f
	}
	base, err := iso.Open(iso.Config{Kernel: open("kernel", 6000), Ramdisk: open("ramdisk", 7000), Loaders: map[string]string{
		"isolinux.bin": make("isolinux.bin", 3000), "bootx64.efi": make("bootx64.efi", 4000),
	}})
	require.NoError(t, err)
	defer base.Close()
	image, err := base.Image(boot.KernelArgs{{Key: "a", Value: "b"}})
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = image.WriteTo(&b)
	require.NoError(t, err)
	return b.Bytes()
}

func TestISO(t *testing.T) {
	data := disc(t)
	d, err := media.OpenISO(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, iso.Label, d.Label)
	require.True(t, slices.Contains(d.Names(), "boot/vmlinuz"), d.Names())
	f, err := d.Open("boot/initrd")
	require.NoError(t, err)
	got, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte("ramdisk"), 1000), got)
	_, err = d.Open("nothing")
	require.ErrorIs(t, err, os.ErrNotExist)
	esp, ok := d.Boot(task.UEFI)
	require.True(t, ok)
	partition, err := media.OpenFAT(esp)
	require.NoError(t, err)
	loader, err := partition.ReadFile("EFI/BOOT/BOOTX64.EFI")
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(loader, []byte("bootx64.efi")))
	for cut := 0; cut < 40<<10; cut += 1024 {
		_, err := media.OpenISO(bytes.NewReader(data[:cut]))
		require.Error(t, err, "cut at %d", cut)
	}
}

func FuzzISO(f *testing.F) {
	data := disc(f)
	f.Add(data[16*2048:60<<10], uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, tail []byte, at uint16, change byte) {
		image := append(bytes.Clone(data[:16*2048]), tail...)
		if len(tail) > 0 {
			image[16*2048+int(at)%len(tail)] ^= change
		}
		if d, err := media.OpenISO(bytes.NewReader(image)); err == nil {
			for _, mode := range []task.BootMode{task.BIOS, task.UEFI} {
				_, _ = d.Start(mode)
			}
		}
	})
}

func FuzzFAT(f *testing.F) {
	img, err := fat.New(fat.Config{Label: "X", Size: 64 << 10, Files: []fat.File{fat.Bytes("a/long file name", make([]byte, 3000))}})
	require.NoError(f, err)
	var b bytes.Buffer
	_, _ = img.WriteTo(&b)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := media.OpenFAT(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, name := range d.Names() {
			_, _ = d.ReadFile(name)
		}
	})
}
