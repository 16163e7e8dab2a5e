package vmedia

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/fat"
	"github.com/ferrule/ferrule/task"
)

// FloppyLabel is what agents know the floppy by, and FloppyFile the file on it.
const (
	FloppyLabel = "ir-vfd-dev"
	FloppyFile  = "parameters.txt"
)

func (b *Boot) publishFloppy(ctx context.Context, t *task.Task, params boot.Params) error {
	var text strings.Builder
	for _, k := range slices.Sorted(maps.Keys(params)) {
		fmt.Fprintf(&text, "%s=%s\n", k, params[k])
	}
	floppy, err := fat.New(fat.Config{Label: FloppyLabel, Size: fat.Floppy, Files: []fat.File{fat.Bytes(FloppyFile, []byte(text.String()))}})
	if err != nil {
		return err
	}
	return b.site.Discs.Publish(ctx, Disc{Owner: t.Node.UUID, Name: discName(t.Node, "img"), Label: "floppy", Content: floppy})
}

// checkWords reports what an agent would not read of the floppy: it splits the
// text at blanks.
func checkWords(params boot.Params) error {
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if len(strings.Fields(k+params[k])) != 1 {
			errs = append(errs, fmt.Errorf("%w: parameter %q has a blank in its value, at which the agent splits what is on the floppy", task.ErrInvalidParameter, k))
		}
	}
	return task.Join(errs...)
}
