package recording

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

const dumped = `a_total{instance="host:9100",job="node"} 1 1772618400
a_total{instance="host:9100",job="node"} 2.5 1772618415.001
a_total{instance="host:9100",job="node"} NaN 1772618430
job:a:rate1m{job="node"} 0.1 1772618430
up{instance="host:9100",job="node"} 1 1772618400
# EOF
`

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLoadReadsADump(t *testing.T) {
	zst, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"plain.om": dumped, "zipped.txt.gz": gzipped(t, dumped), "small.om.zst": string(zst.EncodeAll([]byte(dumped), nil))} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			file := filepath.Join(folder, name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{file, folder} {
				r, err := Load(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				got := bits(r)
				if want := []string{"1772618400000 3ff0000000000000", "1772618415001 4004000000000000", "1772618430000 7ff0000000000002"}; len(got) != 2 || strings.Join(got[`{__name__="a_total", instance="host:9100", job="node"}`], ",") != strings.Join(want, ",") {
					t.Errorf("it has %v", got)
				}
			}
		})
	}
}

func TestLoadReadsABlockAndAFolderWithARecording(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "made"+Extension)
	if err := made().Write(file); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	unpacked := t.TempDir()
	block, err := unpack(in, unpacked)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, folder, filepath.Join(unpacked, block)} {
		if r, err := Load(t.Context(), path); err != nil || len(r.Series) != 2 || len(r.Series[0].Floats) != 500 {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("two/a.om", dumped)
	write("two/b.om", dumped)
	write("none/notes.md", "hello")
	for path, want := range map[string]string{
		write("page.html", "<html>"):                          "is neither a file of consignwatch record nor an OpenMetrics dump: after 0 samples",
		write("cut.om", dumped[:80]):                          "after 1 samples",
		write("timeless.om", "up 1\n# EOF\n"):                 "up has no timestamp",
		write("empty.om", "# EOF\n"):                          "has no samples",
		write("rules.om", "a:b:c 1 1772618400\n# EOF\n"):      "has no samples",
		write("no.om.gz", dumped):                             "gzip: invalid header",
		filepath.Join(folder, "two"):                          "has 2 recordings (a.om, b.om), want one",
		filepath.Join(folder, "none"):                         "has 0 recordings",
		filepath.Dir(write("block/meta.json", "{}")):          "is not a block of Prometheus",
		write("x"+Extension, "no"):                            "is not a recording",
		filepath.Join(folder, "nothing", "at", "all", "x.om"): "no such file",
	} {
		if _, err := Load(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Base(path)) {
			t.Errorf("%s: the error is %v, want %q", filepath.Base(path), err, want)
		}
	}
}
