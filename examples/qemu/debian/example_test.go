//go:build unix

package debian_test

import (
	"context"
	"fmt"

	"github.com/ferrule/ferrule/examples/qemu/debian"
)

func ExampleKernel() {
	kernel, modules, err := debian.Kernel(context.Background())
	fmt.Println(kernel, modules, err)
}
