package ramdisk

import "context"

func (a *agent) deploySteps() []step {
	return []step{{Step: "write_image", Priority: 0, Interface: "deploy", run: a.writeImageStep}}
}

func (a *agent) writeImageStep(ctx context.Context, c *command, args parameters) (any, error) {
	i, err := decodeImage(args)
	if err != nil {
		return nil, err
	}
	text, err := a.writeImage(ctx, c, i)
	if err != nil {
		return nil, err
	}
	return map[string]string{"result": "prepare_image: " + text}, nil
}
