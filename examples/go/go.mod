module propeller.dev/examples/go

go 1.26
