package containers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// builderImage stands in for the public golang image: this machine's own Go
// toolchain, its shell and the modules that the build needs.
const builderImage = "kvorum-test-builder:local"

// makeBuilder imports builderImage from this machine's files.
func makeBuilder(t *testing.T, repo string) {
	t.Helper()
	goroot := output(t, repo, nil, "go", "env", "GOROOT")
	modules := downloadModules(t, repo)

	cmd := exec.Command("docker", "import",
		"--change", "ENV PATH=/usr/local/go/bin:/bin",
		"--change", "ENV GOMODCACHE=/go/pkg/mod GOCACHE=/tmp/gocache GOPROXY=off GOFLAGS=-buildvcs=false",
		"-", builderImage)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(writeRootfs(stdin, goroot, modules), stdin.Close(), cmd.Wait())
	if err != nil {
		t.Fatalf("importing the builder image: %v\n%s", err, &out)
	}
}

// downloadModules fills a module cache with exactly what the repository's
// modules need, taken from this machine's cache where it is there.
func downloadModules(t *testing.T, repo string) string {
	t.Helper()
	dir := t.TempDir()
	cached := filepath.Join(output(t, repo, nil, "go", "env", "GOMODCACHE"), "cache", "download")
	proxy := "file://" + cached + "," + output(t, repo, nil, "go", "env", "GOPROXY")
	env := []string{"GOMODCACHE=" + dir, "GOPROXY=" + proxy, "GOFLAGS=-modcacherw"}
	output(t, repo, env, "go", "mod", "download")
	return dir
}

func writeRootfs(w io.Writer, goroot, modules string) error {
	tw := tar.NewWriter(w)
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	for _, part := range []string{"VERSION", "go.env", "bin", "lib", "pkg", "src"} {
		if err := addTree(tw, filepath.Join(goroot, part), "usr/local/go/"+part); err != nil {
			return err
		}
	}
	if err := addTree(tw, filepath.Join(modules, "cache", "download"), "go/pkg/mod/cache/download"); err != nil {
		return err
	}
	libraries, err := sharedLibraries("/bin/sh")
	if err != nil {
		return err
	}
	for _, path := range append(libraries, "/bin/sh") {
		if err := addTree(tw, path, strings.TrimPrefix(path, "/")); err != nil {
			return err
		}
	}
	return tw.Close()
}

var absolutePath = regexp.MustCompile(`(/\S+) \(0x`)

// sharedLibraries are the paths that a dynamic executable loads; none for a
// static one.
func sharedLibraries(path string) ([]string, error) {
	out, err := exec.Command("ldd", path).CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("not a dynamic executable")) {
		return nil, fmt.Errorf("ldd %s: %v: %s", path, err, out)
	}
	var paths []string
	for _, m := range absolutePath.FindAllSubmatch(out, -1) {
		paths = append(paths, string(m[1]))
	}
	return paths, nil
}

// addTree adds a file or a folder under a name, following symbolic links of
// single files. The toolchain's tests stay out: they are half of its bytes.
func addTree(tw *tar.Writer, root, name string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		header, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		header.Name = name + strings.TrimPrefix(path, root)
		header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
		if err := tw.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(tw, f)
		return err
	})
}
