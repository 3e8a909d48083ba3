package client_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wabastream/wabastream/client"
	wabastreamv1 "github.com/wabastream/wabastream/gen/wabastream/v1"
)

func fullRounds() bool { return os.Getenv("WABASTREAM_TEST_ROUNDS") == "full" }

func TestFileCheckpointKeepsTheCursor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cursor")
	store := client.NewFileCheckpoint(path)
	cursor, err := store.Load(t.Context())
	require.NoError(t, err)
	require.Empty(t, cursor, "there is no file yet")

	for _, cursor := range []string{"c-first", "c-a_longer~one", "c2"} {
		require.NoError(t, store.Save(t.Context(), cursor))
		again, err := client.NewFileCheckpoint(path).Load(t.Context())
		require.NoError(t, err)
		require.Equal(t, cursor, again)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing is left beside the file")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "c2\n", string(content))
}

func TestFileCheckpointAfterACrashInASave(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cursor")
	require.NoError(t, client.NewFileCheckpoint(path).Save(t.Context(), "c1"))
	require.NoError(t, os.WriteFile(path+".tmp", []byte("c2 and much mo"), 0o600))

	store := client.NewFileCheckpoint(path)
	cursor, err := store.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "c1", cursor)
	require.NoError(t, store.Save(t.Context(), "c3"))
	cursor, err = store.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "c3", cursor)
	require.NoFileExists(t, path+".tmp")
}

func TestFileCheckpointRefusesWhatIsNoCursor(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty":          "",
		"empty line":     "\n",
		"cut off":        "c1234",
		"two lines":      "c1\nc2\n",
		"spaces":         "c1 c2\n",
		"not text":       "c1\x00\n",
		"not ASCII":      "c1é\n",
		"something long": strings.Repeat("c", 1<<20) + "\n",
		"a bit too long": strings.Repeat("c", 1025) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "cursor")
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
			_, err := client.NewFileCheckpoint(path).Load(t.Context())
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "restore it, or remove it to start as the request says")

			cursor := strings.TrimSuffix(content, "\n")
			if name != "cut off" {
				require.Error(t, client.NewFileCheckpoint(path).Save(t.Context(), cursor))
			}
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			if name != "cut off" {
				require.Equal(t, content, string(kept))
			}
		})
	}
}

func TestFileCheckpointTellsOfAFolderThatIsNotThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "cursor")
	_, err := client.NewFileCheckpoint(path).Load(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, filepath.Dir(path))
	require.Error(t, client.NewFileCheckpoint(path).Save(t.Context(), "c1"))
}

func TestFileCheckpointNoticesAnotherProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cursor")
	mine, other := client.NewFileCheckpoint(path), client.NewFileCheckpoint(path)
	for _, store := range []*client.FileCheckpoint{mine, other} {
		_, err := store.Load(t.Context())
		require.NoError(t, err)
	}
	require.NoError(t, mine.Save(t.Context(), "c1"))
	require.ErrorContains(t, other.Save(t.Context(), "c2"), "changed by another process")
	require.NoError(t, mine.Save(t.Context(), "c3"))

	require.NoError(t, os.WriteFile(path, []byte("rubbish"), 0o600))
	require.ErrorContains(t, mine.Save(t.Context(), "c4"), "no checkpoint or damaged")

	require.NoError(t, os.Remove(path))
	require.NoError(t, mine.Save(t.Context(), "c5"), "a file that was removed is made again")
}

// A save that failed may have been done all the same: that is no other process.
func TestFileCheckpointAfterAFailedSave(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "cursor")
	store := client.NewFileCheckpoint(path)
	_, err := store.Load(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Save(t.Context(), "c1"))

	require.NoError(t, os.Mkdir(path+".tmp", 0o700))
	require.Error(t, store.Save(t.Context(), "c2"))
	require.NoError(t, os.WriteFile(path, []byte("c2\n"), 0o600))
	require.Error(t, store.Save(t.Context(), "c3"))
	require.NoError(t, os.Remove(path+".tmp"))
	require.NoError(t, store.Save(t.Context(), "c4"))
	cursor, err := store.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "c4", cursor)
}

// childPath names the file of a child process: a test of this binary that was
// started by its own test.
const childPath = "WABASTREAM_TEST_CHILD"

// child starts this test anew in a process of its own.
func child(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), childPath+"="+path)
	return command
}

func TestFileCheckpointSurvivesKill(t *testing.T) {
	t.Parallel()
	if path := os.Getenv(childPath); path != "" {
		saveForEver(t, path)
		return
	}
	rounds := 5
	if fullRounds() {
		rounds = 300
	}
	path := filepath.Join(t.TempDir(), "cursor")
	for round := range rounds {
		command := child(t, path)
		output, err := command.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		var answered string // the last save that the child heard of
		lines := bufio.NewScanner(output)
		for heard := 0; lines.Scan(); heard++ {
			answered = lines.Text()
			if heard == 10+round%7 {
				require.NoError(t, command.Process.Kill()) // somewhere in what it does next
			}
		}
		require.Error(t, command.Wait(), "it was killed")

		cursor, err := client.NewFileCheckpoint(path).Load(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, answered)
		require.GreaterOrEqual(t, number(cursor), number(answered))
		require.LessOrEqual(t, number(cursor), number(answered)+1)
	}
}

func saveForEver(t *testing.T, path string) {
	t.Helper()
	store := client.NewFileCheckpoint(path)
	cursor, err := store.Load(t.Context())
	require.NoError(t, err)
	for n := number(cursor) + 1; ; n++ {
		require.NoError(t, store.Save(t.Context(), fmt.Sprint("c", n)))
		fmt.Fprintf(os.Stdout, "c%d\n", n)
	}
}

func number(cursor string) (n int) {
	_, _ = fmt.Sscanf(cursor, "c%d", &n)
	return n
}

// saveSignal tells of the save of a cursor.
type saveSignal struct {
	client.Checkpoint

	cursor string
	saved  chan struct{}
}

func (s saveSignal) Save(ctx context.Context, cursor string) error {
	err := s.Checkpoint.Save(ctx, cursor)
	if cursor == s.cursor && err == nil {
		close(s.saved)
	}
	return err
}

// A panic ends the process, with the handler's own stack, and the checkpoint is
// where handling was.
func TestHandlerPanicIsACrash(t *testing.T) {
	t.Parallel()
	path := os.Getenv(childPath)
	if path == "" {
		path = filepath.Join(t.TempDir(), "cursor")
		output, err := child(t, path).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, "%s", output)
		require.Equal(t, 2, exit.ExitCode(), "%s", output)
		require.Contains(t, string(output), "panic: cannot go on")
		require.Contains(t, string(output), "panicsAtTwo.func", "the handler's own stack")
		cursor, err := client.NewFileCheckpoint(path).Load(t.Context())
		require.NoError(t, err)
		require.Equal(t, "c1", cursor)
		return
	}
	_, c := serve(t, hang(ready("c0"), batch(1, 2, 3)))
	store := saveSignal{Checkpoint: client.NewFileCheckpoint(path), cursor: "c1", saved: make(chan struct{})}
	err := c.Handle(t.Context(), nil, panicsAtTwo(store.saved),
		client.WithCheckpoint(store), client.WithSaveInterval(time.Millisecond))
	require.NoError(t, err, "unreachable")
}

func panicsAtTwo(saved <-chan struct{}) client.Handler {
	return func(_ context.Context, event *wabastreamv1.Event) error {
		if event.GetSequence() == 2 {
			<-saved
			panic("cannot go on")
		}
		return nil
	}
}
