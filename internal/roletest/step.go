package roletest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ferrule/ferrule/deploy"
)

// StepsListed says what is wrong with a list of steps: a step without a name,
// one that is there twice, belongs to no role, has a priority below 0, or an
// argument that nobody describes.
func StepsListed(steps []deploy.Step, isRole func(string) bool) error {
	for i, s := range steps {
		switch {
		case strings.TrimSpace(s.Name) == "":
			return fmt.Errorf("step %s has no name", s)
		case !isRole(s.Interface):
			return fmt.Errorf("step %s is of a role that will not run it", s)
		case slices.ContainsFunc(steps[:i], s.Same):
			return fmt.Errorf("step %s is listed twice", s)
		case s.Priority < 0:
			return fmt.Errorf("step %s has priority %d", s, s.Priority)
		}
		for name, arg := range s.ArgsInfo {
			if strings.TrimSpace(arg.Description) == "" {
				return fmt.Errorf("argument %q of step %s has no description", name, s)
			}
		}
	}
	return nil
}
