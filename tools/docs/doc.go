// Package docs holds what the documentation says to account: its tests run every
// command of the README and of the pages in docs/ against real servers and check what
// each prints, resolve every link, and look for every metric that a page names. It has
// no code of its own.
//
// A block of commands (```sh), or a program (```go), follows a comment that says what
// to expect, which readers of the page do not see. One without is a failure on any page
// of the repository, and so is one in another language: only configuration and output
// are just shown. A few comments say that something else runs the block below them.
//
//	<!-- check NAME [with SERVER] [exit CODE] [serves] [ends] [stays] [today] [as written] [after kill]
//	has REGEXP
//	not REGEXP
//	posts CALLBACK
//	-->
//
// NAME tells the block from others of its page. Each "has" must match a line of what
// the block prints, on standard output or standard error, and no line may match a
// "not"; there is at least one "has".
//
//   - with SERVER: the server that the block speaks to, one of the list in server_test.go;
//     "open" unless it says otherwise. The servers of one page start as its blocks need
//     them, in the page's own folder.
//   - exit CODE: the exit code of the block, 0 unless it says otherwise.
//   - posts CALLBACK: the block follows what comes. Once it runs, the callback, one of the
//     provider's examples, is posted with the current time until every "has" is there; then
//     the block is interrupted.
//   - today: what the block asks for is of today, in UTC. The callback of "posts" is posted
//     once, before; if a day ends meanwhile all is done again.
//   - stays: the block goes on beside those that follow, as in a terminal of its own, to the
//     end of the page. "has" is about what it prints first.
//   - serves: the block starts a server, in place of the one that ran before. "has" is
//     about what it prints while it starts. It runs on, to the end of the page, the next
//     block that serves, or a block that ends it.
//   - ends: after the block that server is stopped, and the one before started again.
//   - after kill: the server of the last block that serves is killed with signal 9 and
//     started again before.
//   - as written: the block does what a test among others must not: it needs the
//     repository's own folder, or takes long.
//
// The blocks of a page run in its order, in one folder, and what one exports the next
// ones have. Servers listen on ports of the system's choice, which take the place of
// 127.0.0.1:8080, :8081 and :9090 in the blocks.
//
// With the flag -as-written, which .ci/readme gives in a fresh clone, the README's blocks
// run to the letter: every one of them, in the clone, with the ports that they name.
package docs
