package configdrive_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/deploy/configdrive"
)

func Example() {
	iso, err := configdrive.Data{
		MetaData: map[string]any{"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "hostname": "web-1"},
		UserData: "#cloud-config\npackages: [nginx]\n",
	}.ISO()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(iso)>>10, "KiB labelled", string(iso[32808:32816]))

	again, err := configdrive.From(context.Background(), configdrive.Encode(iso), nil)
	fmt.Println(len(again)>>10, "KiB", err)
	// Output:
	// 66 KiB labelled config-2
	// 66 KiB <nil>
}
