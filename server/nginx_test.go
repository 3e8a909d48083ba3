package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// idleCut is how long the proxy lets a stream be silent before it cuts it.
const idleCut = 5 * time.Second

// nginx is an nginx of the distribution in front of a server's gRPC, with its files
// in a folder of the test. Clients reach it through a Unix socket: it cannot be told
// to pick a port and say which.
type nginx struct {
	cmd    *exec.Cmd
	target string // for gRPC clients
}

// startNginx starts a proxy to the gRPC address, and waits until it listens.
func startNginx(t *testing.T, upstream string) *nginx {
	t.Helper()
	dir := t.TempDir()
	socket := filepath.Join(dir, "grpc.sock")
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, nginxConfig(t, dir, socket, upstream), 0o600))
	n := &nginx{
		cmd:    exec.Command(nginxBinary(t), "-e", "stderr", "-p", dir, "-c", config),
		target: "unix:" + socket,
	}
	n.cmd.Stderr = t.Output()
	require.NoError(t, n.cmd.Start())
	t.Cleanup(func() {
		_ = n.cmd.Process.Signal(syscall.SIGTERM) // not SIGKILL, which its workers would survive
		_ = n.cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 30*time.Second, 5*time.Millisecond, "nginx does not listen")
	return n
}

// reload has nginx read its configuration again: new workers take over, and the old
// ones have a second to end what they have.
func (n *nginx) reload(t *testing.T) {
	t.Helper()
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGHUP))
}

// nginxBinary looks where Debian puts it, too, which is in the path of root only.
func nginxBinary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("this test needs nginx; install it with: apt-get install nginx")
	return ""
}

// nginxConfig is what the operations guide tells people to use, but for where it
// listens, what takes long, and where nginx keeps its own files.
func nginxConfig(t *testing.T, dir, socket, upstream string) []byte {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "operations.md"))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "```nginx\n")
	require.True(t, found, "the guide has no configuration for nginx")
	config, _, _ := strings.Cut(rest, "```")
	for documented, here := range map[string]string{
		"listen 443 ssl http2;":        "listen unix:" + socket + " http2;",
		"grpc://127.0.0.1:9090;":       "grpc://" + upstream + ";",
		"grpc_read_timeout 60s;":       fmt.Sprintf("grpc_read_timeout %ds;", int(idleCut.Seconds())),
		"worker_shutdown_timeout 30s;": "worker_shutdown_timeout 1s;",
		"http {\n": fmt.Sprintf(`http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path       %[1]s/proxy;
	fastcgi_temp_path     %[1]s/fastcgi;
	uwsgi_temp_path       %[1]s/uwsgi;
	scgi_temp_path        %[1]s/scgi;
`, dir),
	} {
		require.Equal(t, 1, strings.Count(config, documented), documented)
		config = strings.Replace(config, documented, here, 1)
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // else its workers are somebody who may not use the folder
	}
	return []byte("daemon off;\nworker_processes 1;\npid " + dir + "/nginx.pid;\n" + user + config)
}
