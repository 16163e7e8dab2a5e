module example.com/customdriver

go 1.26.0

require github.com/ferrule/ferrule v0.0.0

require (
	github.com/google/go-cmp v0.7.0 // indirect
	github.com/hashicorp/errwrap v1.0.0 // indirect
	github.com/hashicorp/go-multierror v1.1.1 // indirect
	go.uber.org/goleak v1.3.0 // indirect
)

replace github.com/ferrule/ferrule => ../..
