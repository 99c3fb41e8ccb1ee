package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// build makes the programs of all systems: ours in their own module, the others
// in this one, which names their versions.
func build(ctx context.Context, dir string) (bin string, err error) {
	bin = filepath.Join(dir, "bin")
	for name, path := range map[string]string{"etcd": "go.etcd.io/etcd/server/v3", "nats-server": "github.com/nats-io/nats-server/v2"} {
		if err := goBuild(ctx, "", "", filepath.Join(bin, name), path); err != nil {
			return "", err
		}
	}
	return bin, buildOurs(ctx, bin)
}

// buildOurs makes our programs.
func buildOurs(ctx context.Context, bin string) error {
	root, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/kvorum/kvorum")
	if err != nil {
		return err
	}
	root = strings.TrimSpace(root)
	version, err := command(ctx, root, "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		version = "dev" // not a clone
	}
	version = " -X github.com/kvorum/kvorum/libs/svc.Version=" + strings.TrimSpace(version)
	return goBuild(ctx, root, version, bin+"/", "./services/node/cmd/kvorum-node", "./services/watch/cmd/kvorum-watch")
}

func goBuild(ctx context.Context, dir, ldflags, out string, paths ...string) error {
	fmt.Fprintln(os.Stderr, "building", strings.Join(paths, " "))
	_, err := command(ctx, dir, "go", slices.Concat([]string{"build", "-trimpath", "-ldflags", "-s -w" + ldflags, "-o", out}, paths)...)
	return err
}

// versions are what the programs say of themselves.
func versions(ctx context.Context, bin string) (list []string, err error) {
	for _, p := range []string{"kvorum-node", "etcd", "nats-server"} {
		out, err := command(ctx, "", filepath.Join(bin, p), "--version")
		if err != nil {
			return nil, err
		}
		first, _, _ := strings.Cut(out, "\n")
		list = append(list, strings.TrimSpace(first))
	}
	return list, nil
}

func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out), nil
}
