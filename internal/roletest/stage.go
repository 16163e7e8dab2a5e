package roletest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/task"
	"github.com/ferrule/ferrule/task/tasktest"
)

// Staged says what is wrong with the stages that s lists for t: one is blank or
// listed twice, or do, which works on t, reports evidence of another one.
func Staged(s task.Stager, t *task.Task, do func() error) error {
	stages := s.Stages(t)
	for i, stage := range stages {
		if strings.TrimSpace(stage) == "" || slices.Contains(stages[:i], stage) {
			return fmt.Errorf("of the stages %q one is blank or there twice", stages)
		}
	}
	seen := tasktest.Record(t)
	if do() != nil {
		return Skip("the work does not succeed") // which other rules tell
	}
	if more := Added(stages, seen.Stages()); len(more) > 0 {
		return fmt.Errorf("evidence of %q, where the stages are %q only", more, stages)
	}
	return nil
}
