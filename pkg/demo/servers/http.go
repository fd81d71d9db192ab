package servers

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	"github.com/consignwatch/consignwatch/pkg/executable"
)

// HTTPServer says how to start a server that answers HTTP on one address and
// has an endpoint that says when it is ready.
type HTTPServer struct {
	Name       string // as people call it
	Executable string // as Find knows it; also names the log file
	Ready      string // path that answers 200 when the server can be used
	// ReadyTimeout is how long that may take. 0: a minute.
	ReadyTimeout time.Duration
	// WorkDir is the working folder. Empty: dir of StartHTTP.
	WorkDir string
	// Prepare does what must be done before the start, once host:port is known.
	// It may be nil.
	Prepare func(address string) error
	// Args returns the arguments that make it listen on host:port.
	Args func(address string) []string
}

// StartHTTP starts the server in the folder dir on a free address of the
// loopback interface.
func StartHTTP(ctx context.Context, dir string, server HTTPServer) (*Process, error) {
	path, err := executable.Find(server.Executable)
	if err != nil {
		return nil, err
	}
	return startHTTP(ctx, dir, path, server)
}

func startHTTP(ctx context.Context, dir, path string, server HTTPServer) (*Process, error) {
	return OnFreeAddress(ctx, func(ctx context.Context, address string) (*Process, error) {
		if server.Prepare != nil {
			if err := server.Prepare(address); err != nil {
				return nil, fmt.Errorf("start %s: %w", server.Name, err)
			}
		}
		return Start(ctx, Command{
			Name:         server.Name,
			Path:         path,
			Args:         server.Args(address),
			Dir:          cmp.Or(server.WorkDir, dir),
			LogFile:      filepath.Join(dir, server.Executable+".log"),
			Address:      address,
			Ready:        answers("http://" + address + server.Ready),
			ReadyTimeout: server.ReadyTimeout,
		})
	})
}

// answers returns a check that a GET of the URL is answered with 200.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, response.Status)
		}
		return nil
	}
}
