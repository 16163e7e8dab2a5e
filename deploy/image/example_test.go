package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ferrule/ferrule/deploy/disk"
	"github.com/ferrule/ferrule/deploy/image"
)

// An image on a web server is put on a disk, with its checksum verified on the
// way.
func Example() {
	content := append([]byte("boot loader"), make([]byte, 4<<20)...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()

	digest := sha256.Sum256(content)
	sum, err := image.ParseChecksum("sha256", hex.EncodeToString(digest[:]))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, medium := newDisk(8 << 20)
	d := &disk.Disk{Device: medium, Size: 8 << 20}
	result, err := image.Write(context.Background(), d, &image.HTTP{URL: server.URL, Retries: 9}, image.Options{Checksum: sum})
	fmt.Println(result.Size, "bytes, of which written:", result.Written, err)
	fmt.Printf("%s\n", medium.data[:11])

	_, err = image.Write(context.Background(), d, &image.HTTP{URL: server.URL}, image.Options{Format: image.QCOW2})
	fmt.Println(err)
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 4194315 bytes, of which written: 32768 <nil>
	// boot loader
	// the image is not valid: its format was said to be qcow2, but it is something else
}
