package docs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// block is some commands of a page and what to expect of them.
type block struct {
	line      int
	language  string
	text      string
	name      string
	server    string
	exit      int
	serves    bool
	ends      bool
	asWritten bool
	afterKill bool
	stays     bool
	today     bool
	posts     string
	has, not  []*regexp.Regexp
}

// check is the beginning of the comment above a block that runs here.
const check = "<!-- check "

// runner is something else that runs blocks: those under a comment, which it finds by
// the words in its file.
type runner struct{ comment, file, words string }

func otherRunners() []runner {
	return []runner{
		{"<!-- build -->", ".ci/examples", "$(block build "},
		{"<!-- protoc -->", ".ci/examples", "$(block protoc "},
		{"<!-- run -->", "examples/behaviour/consumer_test.go", "<!-- run -->"},
	}
}

// root is the repository's folder.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(tb, err)
	return dir
}

// pages are the files that have blocks which run here, by their path in the
// repository. A page with commands or programs that nothing runs fails the test.
func pages(tb testing.TB) []string {
	tb.Helper()
	var all []string
	for _, file := range markdown(tb) {
		if len(blocksOf(tb, file)) > 0 {
			all = append(all, file)
		}
	}
	return all
}

// markdown are the repository's pages.
func markdown(tb testing.TB) []string {
	tb.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*.md", "examples/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root(tb), pattern))
		require.NoError(tb, err)
		for _, file := range found {
			relative, err := filepath.Rel(root(tb), file)
			require.NoError(tb, err)
			all = append(all, relative)
		}
	}
	require.NotEmpty(tb, all)
	return all
}

// blocksOf parses a page. Every block of commands must say what to expect of it.
func blocksOf(tb testing.TB, file string) []block {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root(tb), file))
	require.NoError(tb, err)
	blocks, err := parse(string(text))
	require.NoError(tb, err, file)
	return blocks
}

// parse returns the blocks that run here, and an error for one that nothing runs.
func parse(page string) ([]block, error) {
	var blocks []block
	var comment []string
	lines := strings.Split(page, "\n")
	for i := 0; i < len(lines); i++ {
		switch line := lines[i]; {
		case strings.HasPrefix(line, check):
			begin := i
			for ; i < len(lines) && !strings.HasSuffix(lines[i], "-->"); i++ {
			}
			comment = lines[begin:min(i+1, len(lines))]
		case isFence(line):
			begin := i
			for i++; i < len(lines) && lines[i] != "```"; i++ {
			}
			if i == len(lines) || !strings.HasPrefix(line, "```") || strings.HasPrefix(line, "````") {
				return nil, fmt.Errorf("line %d: the block does not begin and end with ``` at the left", begin+1)
			}
			b := block{line: begin + 1, language: line[3:], text: strings.Join(lines[begin+1:i], "\n"), server: "open"}
			if comment == nil && runsElsewhere(lines[max(begin, 1)-1]) {
				continue
			}
			if err := b.expect(comment); err != nil {
				return nil, fmt.Errorf("line %d: %w", b.line, err)
			}
			if comment != nil {
				blocks = append(blocks, b)
			}
			comment = nil
		case line != "":
			if comment != nil {
				return nil, fmt.Errorf("line %d: no block follows the comment", i+1)
			}
		}
	}
	for i, b := range blocks {
		if slices.ContainsFunc(blocks[:i], func(other block) bool { return other.name == b.name }) {
			return nil, fmt.Errorf("line %d: another block is named %s", b.line, b.name)
		}
	}
	return blocks, nil
}

// isFence reports whether a block begins with the line, wherever Markdown lets it.
func isFence(line string) bool {
	line = strings.TrimLeft(line, " \t>-*+0123456789.")
	return strings.HasPrefix(line, "```") || strings.HasPrefix(line, "~~~")
}

func runsElsewhere(line string) bool {
	return slices.ContainsFunc(otherRunners(), func(r runner) bool { return r.comment == line })
}

// onlyShown are the languages of blocks that are no commands and no programs.
func onlyShown() []string { return []string{"", "json", "yaml", "ini", "nginx", "haproxy"} }

// expect reads the comment above a block.
func (b *block) expect(comment []string) error {
	if comment == nil {
		if !slices.Contains(onlyShown(), b.language) {
			return fmt.Errorf("no comment says what to expect of this block of %q:\n%s", b.language, b.text)
		}
		return nil
	}
	if b.language != "sh" && b.language != "go" {
		return fmt.Errorf("a block of %q cannot run", b.language)
	}
	comment = slices.Clone(comment)
	last := len(comment) - 1
	comment[last] = strings.TrimSuffix(comment[last], "-->")
	if err := b.head(strings.Fields(strings.TrimPrefix(comment[0], check))); err != nil {
		return err
	}
	for _, line := range comment[1:] {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "":
		case "posts":
			b.posts = rest
		case "has", "not":
			pattern, err := regexp.Compile("(?m)" + rest)
			if err != nil || rest == "" {
				return fmt.Errorf("%q: %w", line, err)
			}
			if word == "has" {
				b.has = append(b.has, pattern)
			} else {
				b.not = append(b.not, pattern)
			}
		default:
			return fmt.Errorf("%q says nothing that is known", line)
		}
	}
	if len(b.has) == 0 {
		return fmt.Errorf("%s does not say what is printed", b.name)
	}
	if b.today && b.posts == "" {
		return fmt.Errorf("%s is about today, and does not say what to post", b.name)
	}
	return nil
}

func (b *block) head(words []string) error {
	if len(words) == 0 {
		return errors.New("the comment names no block")
	}
	b.name = words[0]
	alone := map[string]*bool{"serves": &b.serves, "ends": &b.ends, "stays": &b.stays, "today": &b.today}
	for words = words[1:]; len(words) > 0; {
		if flag := alone[words[0]]; flag != nil {
			*flag, words = true, words[1:]
			continue
		}
		switch two := strings.Join(words[:min(2, len(words))], " "); {
		case two == "as written":
			b.asWritten = true
		case two == "after kill":
			b.afterKill = true
		case words[0] == "with" && len(words) > 1:
			b.server = words[1]
		case words[0] == "exit" && len(words) > 1:
			code, err := strconv.Atoi(words[1])
			if err != nil {
				return err
			}
			b.exit = code
		default:
			return fmt.Errorf("%q says nothing that is known", words)
		}
		words = words[2:]
	}
	return nil
}

func TestParseRefusesWhatCannotBeChecked(t *testing.T) {
	t.Parallel()
	const commands = "\n```sh\ntrue\n```\n"
	for page, want := range map[string]string{
		commands: "no comment says what to expect",
		"<!-- check a\nhas x\n-->\ntext" + commands:                      "no block follows the comment",
		"<!-- check a -->" + commands:                                    "does not say what is printed",
		"<!-- check a sometimes\nhas x\n-->" + commands:                  "nothing that is known",
		"<!-- check a\nhas (\n-->" + commands:                            "missing closing )",
		"<!-- check a\nprints x\n-->" + commands:                         "nothing that is known",
		"<!-- check a\nhas x\n-->\n```yaml\nx\n```\n":                    "cannot run",
		strings.Repeat("<!-- check a\nhas x\n-->"+commands, 2):           "another block is named a",
		"<!-- check a\nhas x\n-->\n\n<!-- other -->\n```sh\ntrue\n```\n": "no block follows",
		"<!-- check a exit one\nhas x\n-->" + commands:                   "invalid syntax",
		"<!-- check a today\nhas x\n-->" + commands:                      "does not say what to post",
		"```go\npackage main\n```\n":                                     "no comment says what to expect",
		"```bash\ntrue\n```\n":                                           "no comment says what to expect",
		"```python\npass\n```\n":                                         "no comment says what to expect",
		"<!-- builds -->" + commands:                                     "no comment says what to expect",
		"- one:\n  ```sh\n  true\n  ```\n":                               "at the left",
		"- ```sh\ntrue\n```\n":                                           "at the left",
		"````sh\ntrue\n````\n":                                           "at the left",
		"~~~sh\ntrue\n~~~\n":                                             "at the left",
		"```sh\ntrue\n":                                                  "at the left",
	} {
		_, err := parse(page)
		require.ErrorContains(t, err, want, page)
	}
	blocks, err := parse("<!-- check a with b exit 3 as written after kill serves stays today\nhas ^x$\nnot y\nposts z\n-->\n```sh\none\ntwo\n```\n")
	require.NoError(t, err)
	require.Len(t, blocks, 1)
	b := blocks[0]
	require.Equal(t, []any{"a", "b", 3, true, true, true, true, true, "z", "one\ntwo"},
		[]any{b.name, b.server, b.exit, b.asWritten, b.afterKill, b.serves, b.stays, b.today, b.posts, b.text})
	require.True(t, b.has[0].MatchString("w\nx\n"))
}

// What is not run here is run: whoever does that knows the comment.
func TestOtherRunnersRun(t *testing.T) {
	t.Parallel()
	for _, r := range otherRunners() {
		text, err := os.ReadFile(filepath.Join(root(t), r.file))
		require.NoError(t, err)
		require.Contains(t, string(text), r.words, "%s: blocks under %s", r.file, r.comment)
		blocks, err := parse(r.comment + "\n```sh\ntrue\n```\n")
		require.NoError(t, err)
		require.Empty(t, blocks)
	}
}
