package svc_test

import (
	"context"
	"fmt"
	"os"

	"github.com/kvorum/kvorum/libs/svc"
)

// What a service's main does: flags, then run until the context ends.
func Example() {
	os.Args = []string{"kvorum-example", "--name", "one"}
	run := func(ctx context.Context, args []string) error {
		fs := svc.Flags("kvorum-example")
		name := fs.String("name", "", "name of this process")
		if err := svc.Parse(fs, args); err != nil {
			return err
		}
		if *name == "" {
			return svc.Usagef("--name is missing")
		}
		fmt.Println("serving as", *name)
		return nil
	}
	// A binary calls svc.Main("kvorum-example", run), which ends the process.
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Println(err)
	}
	// Output: serving as one
}
