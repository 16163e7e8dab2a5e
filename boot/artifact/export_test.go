package artifact

// OnStep has hook called before each step of a change.
func (f *Folder) OnStep(hook func(step string)) { f.step = hook }
