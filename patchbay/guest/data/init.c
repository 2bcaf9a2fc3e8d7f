/*
 * The first process of the guest: shows the host's files read-only below an overlay, runs one
 * command as the user who asked for it, and carries its streams, signals and exit status.
 *
 * What it is asked lies beside it in the initial file system, as the file /request: nothing of it
 * comes at a moment that the host's load decides, so that virtual time is the same in every run.
 * Afterwards it talks with `patchbay guest` over a serial line, in frames: one byte that says what
 * it is, four bytes with the length (little-endian), and so many bytes. The same letters are in
 * channel.py. Of what the host sends, signals excepted, only WINDOW bytes are ever on their way: the
 * line goes deaf for good when its buffer of 4,096 bytes is full.
 *
 * The kernel is User-mode Linux, whose hostfs are the host's files; or a distribution's under QEMU,
 * which gets them by 9p, each directory as a device of its own, and whose modules are loaded as they
 * are needed: the kernel calls this same program for it, as /modprobe.
 *
 * In virtual time it also sees to it that a command that can never go on is told of, not waited for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <grp.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { INPUT = 'I', END_OF_INPUT = 'E', SIGNAL = 'S', SIZE = 'W', SPINS = 'P' };
enum { OUTPUT = 'O', ERRORS = 'X', TAKEN = 'C', FAILED = 'F', DONE = 'D', STUCK = 'L' };

#define HEADER 5
#define WINDOW 2048
#define LOOK_EVERY (6 * 3600) /* virtual seconds between two looks at the processes */
#define QUIET_LOOKS 4 /* so many without anybody doing anything: longer than TCP waits for a peer */
#define LAST_WORDS 5 /* virtual seconds for processes to say where they are */
#define HOST "/host"
#define STAGE "/stage"
#define ROOT STAGE "/root"
#define MODULES "/modules"
#define LINE_PATIENCE 30000 /* milliseconds for the line to appear: it is the first thing that does */

struct bytes {
	char *data;
	size_t length, room;
};

static int line = -1; /* the serial line to the host */
static struct bytes input; /* what the command has not read yet */
static int input_ended;
static uint32_t untold; /* bytes that left the line, which the host has not been told of */

static void send_frame(char kind, const void *data, uint32_t length)
{
	char frame[HEADER + 65536];
	size_t sent = 0;

	frame[0] = kind;
	memcpy(frame + 1, &length, 4);
	memcpy(frame + HEADER, data, length);
	while (sent < HEADER + length) {
		ssize_t count = write(line, frame + sent, HEADER + length - sent);
		if (count > 0)
			sent += count;
		else if (count < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = line, .events = POLLOUT }, 1, -1);
		else if (count < 0 && errno != EINTR)
			break; /* the host is gone, and so is this kernel in a moment */
	}
}

/* Tell the host that so many more bytes may come. */
static void take(uint32_t count)
{
	count += untold;
	untold = 0;
	if (count)
		send_frame(TAKEN, &count, 4);
}

static void power_off(void)
{
	tcdrain(line);
	reboot(RB_POWER_OFF);
	_exit(1);
}

/* Tell the host the command's wait status, once its files are written, and end. */
static void finish(int status)
{
	sync();
	fcntl(line, F_SETFL, 0); /* ending would lose what is still on its way */
	send_frame(DONE, &status, 4);
	power_off();
}

/* Tell the host what cannot be done and why, and end. */
static void fail(const char *format, ...)
{
	char text[4096];
	const char *reason = strerror(errno);
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(text, sizeof(text) / 2, format, arguments);
	va_end(arguments);
	if ((size_t)length >= sizeof(text) / 2)
		length = sizeof(text) / 2 - 1;
	length += snprintf(text + length, sizeof(text) - length, ": %s", reason);
	fcntl(line, F_SETFL, 0);
	send_frame(FAILED, text, length);
	power_off();
}

static void *grown(void *data, size_t size)
{
	data = realloc(data, size);
	if (!data)
		fail("keep %zu bytes", size);
	return data;
}

static void append(struct bytes *to, const char *data, size_t length)
{
	if (to->length + length > to->room) {
		to->room = 2 * (to->length + length);
		to->data = grown(to->data, to->room);
	}
	memcpy(to->data + to->length, data, length);
	to->length += length;
}

static void drop(struct bytes *from, size_t length)
{
	from->length -= length;
	memmove(from->data, from->data + length, from->length);
}

#include "processes.h"

/* Whether the line is there, and somebody is at its other end. */
static int has_line(const char *path)
{
	if (line < 0)
		line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

	struct pollfd polled = { .fd = line };

	return line >= 0 && poll(&polled, 1, 0) == 0;
}

/* A device of QEMU's appears while this process runs already. */
static void open_line(const char *path)
{
	struct termios settings;

	for (int waited = 0; !has_line(path); waited++)
		if (waited == LINE_PATIENCE || usleep(1000) < 0)
			_exit(1); /* the kernel's panic tells of it: there is no other way to */
	if (tcgetattr(line, &settings) == 0) {
		cfmakeraw(&settings);
		tcsetattr(line, TCSANOW, &settings);
	}
}

/*
 * Read from the line without ever sleeping: virtual time stands still while a process runs, and
 * would leap ahead by an unknown amount while all wait for the host.
 */
static void read_exactly(void *data, size_t length)
{
	for (size_t count = 0; count < length;) {
		ssize_t more = read(line, (char *)data + count, length - count);
		if (more > 0)
			count += more;
		else if (more < 0 && errno == EAGAIN)
			sched_yield();
		else if (more == 0 || errno != EINTR)
			power_off();
	}
}

static char read_frame(struct bytes *into)
{
	char kind;
	uint32_t length;

	read_exactly(&kind, 1);
	read_exactly(&length, 4);
	into->length = 0;
	into->data = grown(into->data, length + 1);
	into->room = length + 1;
	read_exactly(into->data, length);
	into->data[length] = 0;
	into->length = length;
	return kind;
}

/* What the host asks for: in the file, a list of texts, each with a letter before it. */
struct request {
	char **command, **environment, **writable, **shown, **modules;
	size_t arguments, variables, directories, overlaid, loaded, groups;
	gid_t *group, primary;
	uid_t user;
	const char *directory, *hostname, *terminals, *input, *line, *shares, *disk;
	rlim_t files;
	mode_t mask;
	int virtual_time;
};

static void add(char ***list, size_t *count, char *text)
{
	*list = grown(*list, (*count + 2) * sizeof(char *));
	(*list)[(*count)++] = text;
	(*list)[*count] = NULL;
}

static struct request read_request(void)
{
	struct request request = { .directory = "/", .hostname = "guest", .terminals = "",
				   .line = "/dev/ttyS0", .shares = "hostfs" };
	int file = open("/request", O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (file < 0 || fstat(file, &status) < 0)
		fail("read /request");

	char *text = grown(NULL, status.st_size + 1), *end = text;

	for (ssize_t count; (count = read(file, end, text + status.st_size - end)) > 0;)
		end += count;
	close(file);

	add(&request.environment, &request.variables, NULL);
	request.variables = 0;
	for (; text < end; text += strlen(text) + 1) {
		char *value = text + 1;

		switch (*text) {
		case 'a': add(&request.command, &request.arguments, value); break;
		case 'e': add(&request.environment, &request.variables, value); break;
		case 'w': add(&request.writable, &request.directories, value); break;
		case 'o': add(&request.shown, &request.overlaid, value); break;
		case 'M': add(&request.modules, &request.loaded, value); break;
		case 'l': request.line = value; break;
		case 's': request.shares = value; break;
		case 'r': request.disk = value; break;
		case 'd': request.directory = value; break;
		case 'h': request.hostname = value; break;
		case 't': request.terminals = value; break;
		case 'u': request.user = strtoul(value, NULL, 10); break;
		case 'g': request.primary = strtoul(value, NULL, 10); break;
		case 'm': request.mask = strtoul(value, NULL, 8); break;
		case 'n': request.files = strtoul(value, NULL, 10); break;
		case 'v': request.virtual_time = 1; break;
		case 'i': request.input = value; break;
		case 'G':
			request.group = grown(request.group, (request.groups + 1) * sizeof(gid_t));
			request.group[request.groups++] = strtoul(value, NULL, 10);
			break;
		}
	}
	return request;
}

static void must_mount(const char *source, const char *target, const char *kind,
		       unsigned long flags, const char *options)
{
	if (mount(source, target, kind, flags, options) < 0)
		fail("mount %s on %s", kind, target);
}

/* Not every host has every directory that these are mounted on. */
static void may_mount(const char *kind, const char *target, const char *options)
{
	mkdir(target, 0755);
	if (mount(kind, target, kind, MS_NOSUID | MS_NOEXEC, options) < 0 && errno != ENOENT)
		fail("mount %s on %s", kind, target);
}

/* Mount a directory of the host: by its path on a hostfs, or by the device that stands for it. */
static void mount_share(const struct request *request, const char *device, const char *path,
			const char *target, unsigned long flags)
{
	char options[100];

	if (!strcmp(request->shares, "hostfs")) {
		must_mount("hostfs", target, "hostfs", flags, path);
		return;
	}
	snprintf(options, sizeof(options), "trans=virtio,version=9p2000.L,access=any,msize=512000,cache=%s",
		 flags & MS_RDONLY ? "loose" : "mmap");
	must_mount(device, target, request->shares, flags, options);
}

/* Make a directory and all above it. */
static void make_directories(char *path)
{
	for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	mkdir(path, 0755);
}

/* Show what is below a directory, and forget what is written there. */
static void overlay(const char *name, const char *lower, const char *target)
{
	char upper[100], work[100], options[4096 + 300];

	snprintf(upper, sizeof(upper), STAGE "/%s.upper", name);
	snprintf(work, sizeof(work), STAGE "/%s.work", name);
	mkdir(upper, 0755);
	mkdir(work, 0755);
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);
	must_mount("overlay", target, "overlay", 0, options);
}

static void show_files(const struct request *request)
{
	char name[50], target[4096 + sizeof(ROOT)];

	mkdir(HOST, 0755);
	if (request->disk)
		must_mount(request->disk, HOST, "ext4", MS_RDONLY, NULL);
	else
		mount_share(request, "root", "/", HOST, MS_RDONLY);
	mkdir(STAGE, 0755);
	must_mount("tmpfs", STAGE, "tmpfs", 0, "mode=0755");
	mkdir(ROOT, 0755);
	overlay("root", HOST, ROOT);
	may_mount("proc", ROOT "/proc", NULL);
	may_mount("sysfs", ROOT "/sys", NULL);
	may_mount("cgroup2", ROOT "/sys/fs/cgroup", NULL);
	must_mount("devtmpfs", ROOT "/dev", "devtmpfs", 0, "mode=0755");
	may_mount("devpts", ROOT "/dev/pts", "ptmxmode=0666,mode=0620,gid=5");
	may_mount("tmpfs", ROOT "/dev/shm", "mode=1777");
	for (size_t i = 0; i < request->overlaid; i++) {
		char lower[100];

		snprintf(name, sizeof(name), "show%zu", i);
		snprintf(lower, sizeof(lower), STAGE "/%s", name);
		mkdir(lower, 0755);
		mount_share(request, name, request->shown[i], lower, MS_RDONLY);
		snprintf(target, sizeof(target), ROOT "%s", request->shown[i]);
		make_directories(target);
		overlay(name, lower, target);
	}
	for (size_t i = 0; i < request->directories; i++) {
		snprintf(name, sizeof(name), "write%zu", i);
		snprintf(target, sizeof(target), ROOT "%s", request->writable[i]);
		make_directories(target);
		mount_share(request, name, request->writable[i], target, 0);
	}
	/*
	 * Over the old root, as a mere chroot would forbid user namespaces; but not for the kernel,
	 * which shares this process's root, and calls /modprobe there.
	 */
	if (unshare(CLONE_FS) < 0 || chdir(ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		fail("enter the overlay");
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	mkdir("/dev/net", 0755);
	mknod("/dev/net/tun", S_IFCHR, makedev(10, 200)); /* where a module has yet to bring it */
	chmod("/dev/net/tun", 0666); /* as udev does it */
	chmod("/dev/ptmx", 0666);
}

static int load(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	int result = file < 0 ? -1 : syscall(SYS_finit_module, file, "", 0);

	if (file >= 0)
		close(file);
	return result < 0 && errno != EEXIST ? -1 : 0;
}

/*
 * As /modprobe: load a module that the kernel asks for by its name or one of its aliases, each line
 * of the index being one of these and what has to be loaded for it, with dashes as underscores.
 */
static int load_wanted(char *wanted)
{
	char *entry = NULL, *pattern, *path, *rest;
	size_t size = 0;
	int result = 1;
	FILE *index = fopen(MODULES "/index", "re");

	for (char *dash = wanted; (dash = strchr(dash, '-')); *dash = '_')
		;
	while (index && getline(&entry, &size, index) > 0) {
		pattern = strtok_r(entry, " \n", &rest);
		if (!pattern || fnmatch(pattern, wanted, 0) != 0)
			continue;
		for (result = 0; (path = strtok_r(NULL, " \n", &rest));)
			if (load(path) < 0)
				result = 1;
	}
	if (index)
		fclose(index);
	free(entry);
	return result;
}

static void load_modules(const struct request *request)
{
	for (size_t i = 0; i < request->loaded; i++)
		if (load(request->modules[i]) < 0)
			fail("load %s", request->modules[i]);
	if (request->loaded) {
		mkdir(MODULES, 0755);
		mount_share(request, "modules", MODULES, MODULES, MS_RDONLY);
	}
}

/* Nothing else runs on this kernel, so that its limits need not be as tight as a host's. */
static void raise_limits(void)
{
	struct rlimit processes = { RLIM_INFINITY, RLIM_INFINITY };
	const char *const settings[] = { "/proc/sys/net/ipv4/neigh/default/gc_thresh3",
					 "/proc/sys/net/ipv6/neigh/default/gc_thresh3" };

	setrlimit(RLIMIT_NPROC, &processes);
	for (int i = 0; i < 2; i++) {
		int setting = open(settings[i], O_WRONLY | O_CLOEXEC);

		if (setting < 0 || write(setting, "65536", 5) < 0)
			fail("write %s", settings[i]);
		close(setting);
	}
}

static void raise_loopback(void)
{
	struct ifreq interface = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (ioctl(any, SIOCSIFFLAGS, &interface) < 0)
		fail("set lo up");
	close(any);
}

/* A stream of the command: the end that it has, and ours. -1 is none. */
struct stream {
	int theirs, ours;
};

static struct stream open_pipe(int is_input)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail("make a pipe");
	fcntl(ends[is_input], F_SETFL, O_NONBLOCK);
	return is_input ? (struct stream){ ends[0], ends[1] } :
			  (struct stream){ ends[1], ends[0] };
}

static struct stream open_terminal(void)
{
	struct stream terminal;
	int unlock = 0;

	terminal.ours = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (terminal.ours < 0 || ioctl(terminal.ours, TIOCSPTLCK, &unlock) < 0)
		fail("open a terminal");
	terminal.theirs = ioctl(terminal.ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal.theirs < 0)
		fail("open a terminal");
	return terminal;
}

static void become_command(const struct request *request, const int streams[3], int terminal)
{
	struct rlimit files = { request->files, 1048576 };
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	setsid();
	if (terminal >= 0)
		ioctl(terminal, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(streams[i], i);
	setrlimit(RLIMIT_NOFILE, &files);
	umask(request->mask);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (setgroups(request->groups, request->group) < 0 || setgid(request->primary) < 0 ||
	    setuid(request->user) < 0) {
		dprintf(2, "patchbay guest: cannot become user %u: %m\n", request->user);
		_exit(126);
	}
	if (chdir(request->directory) < 0) {
		dprintf(2, "patchbay guest: cannot enter %s: %m\n", request->directory);
		_exit(126);
	}
	environ = request->environment;
	execvp(request->command[0], request->command);
	dprintf(2, "patchbay guest: cannot run %s: %m\n", request->command[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Pass on what a stream has; 0 if nothing can come any more. */
static int pass_on(char kind, int from)
{
	char data[65536];
	ssize_t count = read(from, data, sizeof(data));

	if (count > 0)
		send_frame(kind, data, count);
	return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static void feed(struct stream *stream, int is_terminal)
{
	ssize_t count = write(stream->ours, input.data, input.length);

	if (count > 0) {
		drop(&input, count);
		take(count);
	} else if (count < 0 && errno != EAGAIN && errno != EINTR) {
		drop(&input, input.length); /* the command closed its input */
		input_ended = 1;
	}
	if (input_ended && !input.length && !is_terminal) {
		close(stream->ours);
		stream->ours = -1;
	}
}

static int spins; /* the thread that the host says to compute without ever waiting */

/* Do what the host's next frame says. */
static void obey(pid_t command, int terminal)
{
	static struct bytes frame;
	char kind = read_frame(&frame);

	untold += HEADER;
	switch (kind) {
	case INPUT: /* taken when the command takes it */
		append(&input, frame.data, frame.length);
		break;
	case END_OF_INPUT:
		input_ended = 1;
		break;
	case SPINS:
		memcpy(&spins, frame.data, sizeof(spins));
		take(frame.length);
		break;
	case SIGNAL:
		kill(-command, frame.data[0]);
		take(frame.length);
		break;
	case SIZE:
		ioctl(terminal, TIOCSWINSZ, frame.data);
		take(frame.length);
		break;
	}
}

/* Reap whoever has ended; 1 if the command is among them. */
static int reap(pid_t command, int *status)
{
	int ended, found = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &ended, WNOHANG)) > 0)
		if (pid == command) {
			*status = ended;
			found = 1;
		}
	return found;
}

static void end_everybody(void)
{
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
}

/* Whether a day has gone by in which no process ran, none has a timer, and none waits for the host. */
static int is_stuck(const char *live_input)
{
	static unsigned long long before;
	static int quiet;
	unsigned long long now = activity();

	quiet = now == before && !has_timer() ? quiet + 1 : 0;
	before = now;
	return quiet >= QUIET_LOOKS && (!live_input || !is_read(live_input));
}

/* Tell the host what every process does, and have them say where they are, as Python does. */
static void condemn(void)
{
	struct bytes report = { 0 };
	char first[20];

	append(&report, first, snprintf(first, sizeof(first), "%d\n", spins));
	if (spins)
		describe_stack(spins, &report);
	each_thread(describe, &report);
	send_frame(STUCK, report.data, report.length < 65536 ? report.length : 65536);
	free(report.data);
	if (!spins || kill(spins, SIGABRT) < 0)
		kill(-1, SIGABRT);
}

/*
 * Have a timer expire once. It is not poll's own timeout, for every poll would then look at the
 * clock, which takes virtual time, as often as the host happens to answer.
 */
static void set_timer(int timer, time_t seconds)
{
	struct itimerspec once = { .it_value.tv_sec = seconds };

	timerfd_settime(timer, 0, &once, NULL);
}

static int run(const struct request *request, int given)
{
	struct stream terminal = { -1, -1 }, stream[3];
	int theirs[3], status = 0, ended = 0, condemned = 0;
	char source[300];
	sigset_t child;
	pid_t command;

	if (*request->terminals)
		terminal = open_terminal();
	for (int i = 0; i < 3; i++) {
		if (i == 0 && given >= 0)
			stream[i] = (struct stream){ given, -1 };
		else if (!strchr(request->terminals, '0' + i))
			stream[i] = open_pipe(i == 0);
		else if (i == 0)
			stream[i] = terminal;
		else /* one reader for both */
			stream[i] = (struct stream){ terminal.theirs, -1 };
		theirs[i] = stream[i].theirs;
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);

	command = fork();
	if (command < 0)
		fail("fork");
	if (command == 0)
		become_command(request, theirs, terminal.theirs);
	read_name_of_file("/proc/self", theirs[0], source, sizeof(source));
	for (int i = 0; i < 3; i++)
		if (theirs[i] != terminal.theirs)
			close(theirs[i]);
	if (terminal.theirs >= 0)
		close(terminal.theirs);

	take(WINDOW);

	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (request->virtual_time)
		set_timer(timer, LOOK_EVERY);

	int out = stream[1].ours, errors = stream[2].ours, screen = terminal.ours;
	while (!ended || out >= 0 || errors >= 0 || screen >= 0) {
		int may_come = stream[0].ours >= 0 && !input_ended;
		int hungry = stream[0].ours >= 0 && (input.length || input_ended) && !ended;
		struct pollfd polled[] = {
			{ .fd = line, .events = POLLIN },
			{ .fd = children, .events = POLLIN },
			{ .fd = out, .events = POLLIN },
			{ .fd = errors, .events = POLLIN },
			{ .fd = screen, .events = POLLIN },
			{ .fd = hungry ? stream[0].ours : -1, .events = POLLOUT },
			{ .fd = timer, .events = POLLIN },
		};

		if (stream[0].ours == screen && !input.length)
			polled[5].fd = -1;
		if (poll(polled, 7, -1) < 0)
			continue;
		if (polled[0].revents)
			obey(command, terminal.ours);
		if (polled[2].revents && !pass_on(OUTPUT, out))
			out = -1;
		if (polled[3].revents && !pass_on(ERRORS, errors))
			errors = -1;
		if (polled[4].revents && !pass_on(OUTPUT, screen))
			screen = -1;
		if (polled[5].revents)
			feed(&stream[0], stream[0].ours == terminal.ours);
		if (polled[1].revents) {
			struct signalfd_siginfo ignored;

			while (read(children, &ignored, sizeof(ignored)) > 0)
				;
			if (reap(command, &status) && !ended) {
				ended = 1;
				if (!condemned)
					end_everybody(); /* so that the streams end too */
			}
		}

		uint64_t expired = 0;

		if (polled[6].revents)
			read(timer, &expired, sizeof(expired));
		if (condemned && expired) {
			end_everybody();
			ended = 1;
		} else if (!condemned &&
			   (spins || (expired && is_stuck(may_come ? source : NULL)))) {
			condemned = 1;
			condemn();
			set_timer(timer, LAST_WORDS);
		} else if (expired) {
			set_timer(timer, LOOK_EVERY);
		}
	}
	return status;
}

int main(int count, char **words)
{
	struct request request;
	int given = -1;

	if (!strcmp(words[0], "/modprobe"))
		return load_wanted(words[count - 1]);
	must_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	while (open("/dev/null", O_RDWR) < 2)
		; /* so that no stream of ours gets a number below 3 */
	signal(SIGPIPE, SIG_IGN);
	request = read_request();
	open_line(request.line);
	load_modules(&request);
	if (request.input && (given = open(request.input, O_RDONLY | O_CLOEXEC)) < 0)
		fail("open %s", request.input);
	show_files(&request);
	raise_limits();
	raise_loopback();
	sethostname(request.hostname, strlen(request.hostname));
	if (request.virtual_time) {
		sleep(1); /* some programs take a clock at zero for one that is not set */
		/* Whoever computes for ever cannot keep this process from hearing the host. */
		sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
				   &(struct sched_param){ .sched_priority = 1 });
	}
	finish(run(&request, given));
}
