// Adds two numbers: a Go module with one exported function, and nothing of components in it.
package main

//go:wasmexport add
func add(a, b int32) int32 {
	return a + b
}

// A library has no use for it, and Go insists.
func main() {}
