// Command typecheck checks that packages compile for the system that GOOS and GOARCH
// name. make lint calls it for systems that releases are built for and tests do not run
// on. It checks types from source: go vet would compile the standard library for each
// system, which takes ten times as long.
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	build.Default.CgoEnabled = false
	files := token.NewFileSet()
	imports := importer.ForCompiler(files, "source", nil) // it keeps packages that it has checked
	failed := false
	for _, folder := range os.Args[1:] {
		if err := check(folder, files, imports); err != nil {
			fmt.Fprintf(os.Stderr, "%s/%s: %v\n", build.Default.GOOS, build.Default.GOARCH, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// check checks the package in a folder together with its own tests.
func check(folder string, files *token.FileSet, imports types.Importer) error {
	p, err := build.ImportDir(folder, 0)
	if none := (*build.NoGoError)(nil); errors.As(err, &none) {
		return nil // the package is not for this system
	}
	if err != nil {
		return err
	}
	var parsed []*ast.File
	for _, name := range slices.Concat(p.GoFiles, p.TestGoFiles) {
		file, err := parser.ParseFile(files, filepath.Join(folder, name), nil,
			parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		parsed = append(parsed, file)
	}
	config := types.Config{Importer: imports, Sizes: types.SizesFor("gc", build.Default.GOARCH)}
	_, err = config.Check(p.Name, files, parsed, nil)
	return err
}
