/*
 * What the processes of the guest are doing, read from /proc: whether any of them can still go on by
 * itself, and what each of them waits for.
 */
#include <ctype.h>
#include <dirent.h>
#include <sys/ptrace.h>
#include <sys/user.h>

/* Timers that wake a process; what only the kernel keeps going for itself is not among them. */
static const char *const wakers[] = { "hrtimer_wakeup", "it_real_fn", "posix_timer_fn",
				      "timerfd_tmrproc", "alarm_timer", NULL };

static size_t read_file(const char *path, char *text, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t count;

	while (file >= 0 && length < size - 1 &&
	       (count = read(file, text + length, size - 1 - length)) > 0)
		length += count;
	if (file >= 0)
		close(file);
	text[length] = 0;
	return length;
}

static int has_timer(void)
{
	char *line = NULL;
	size_t size = 0;
	int found = 0;
	FILE *timers = fopen("/proc/timer_list", "re");

	while (timers && !found && getline(&line, &size, timers) > 0)
		for (int i = 0; wakers[i] && !found; i++)
			found = strstr(line, wakers[i]) != NULL;
	if (timers)
		fclose(timers);
	free(line);
	return found;
}

struct thread {
	int process, thread;
};

/* Call something for every thread of every process but this one and the kernel's own. */
static void each_thread(void (*visit)(struct thread, void *), void *data)
{
	DIR *all = opendir("/proc"), *tasks;
	struct dirent *entry;
	char path[300], text[64];

	while (all && (entry = readdir(all))) {
		struct thread thread = { .process = atoi(entry->d_name) };

		snprintf(path, sizeof(path), "/proc/%s/cmdline", entry->d_name);
		if (thread.process <= 1 || !read_file(path, text, sizeof(text)))
			continue; /* a thread of the kernel's, or a zombie, has no arguments */
		snprintf(path, sizeof(path), "/proc/%s/task", entry->d_name);
		tasks = opendir(path);
		while (tasks && (entry = readdir(tasks)))
			if ((thread.thread = atoi(entry->d_name)) > 0)
				visit(thread, data);
		if (tasks)
			closedir(tasks);
	}
	if (all)
		closedir(all);
}

static void read_of(struct thread thread, const char *name, char *text, size_t size)
{
	char path[100];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", thread.process, thread.thread, name);
	read_file(path, text, size);
	text[strcspn(text, "\n")] = 0;
}

static void count_switches(struct thread thread, void *data)
{
	unsigned long long *sum = data;
	char path[100], text[8192], *found;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", thread.process, thread.thread);
	read_file(path, text, sizeof(text));
	*sum = *sum * 31 + thread.thread;
	for (found = text; (found = strstr(found, "ctxt_switches:")); found += 14)
		*sum = *sum * 31 + strtoull(found + 14, NULL, 10);
}

/* A number that stays the same while no process runs. */
static unsigned long long activity(void)
{
	unsigned long long sum = 0;

	each_thread(count_switches, &sum);
	return sum;
}

static void read_name_of_file(const char *process, long file, char *name, size_t size)
{
	char path[100];
	ssize_t length;

	snprintf(path, sizeof(path), "%s/fd/%ld", process, file);
	length = readlink(path, name, size - 1);
	name[length > 0 ? length : 0] = 0;
}

static int is_among(int call, const int *calls)
{
	while (*calls >= 0 && *calls != call)
		calls++;
	return *calls >= 0;
}

/* Whether a process has a file open, by any number: standard input may have been moved. */
static int has_file(const char *process, const char *wanted)
{
	char path[100], name[300];
	struct dirent *entry;
	int found = 0;
	DIR *files;

	snprintf(path, sizeof(path), "%s/fd", process);
	files = opendir(path);
	while (files && !found && (entry = readdir(files))) {
		read_name_of_file(process, atol(entry->d_name), name, sizeof(name));
		found = isdigit(*entry->d_name) && !strcmp(name, wanted);
	}
	if (files)
		closedir(files);
	return found;
}

/* Forget the name of the input if a thread reads it, or polls something and has it. */
static void find_reader(struct thread thread, void *data)
{
	static const int reads[] = { 0, 17, 19, -1 }, polls[] = { 7, 23, 232, 270, 271, 281, 441, -1 };
	char process[100], text[300], name[300];
	const char **wanted = data;
	int call;
	long file;

	read_of(thread, "syscall", text, sizeof(text));
	if (!*wanted || sscanf(text, "%d %lx", &call, &file) != 2)
		return;
	snprintf(process, sizeof(process), "/proc/%d", thread.process);
	if (is_among(call, reads)) {
		read_name_of_file(process, file, name, sizeof(name));
		if (!strcmp(name, *wanted))
			*wanted = NULL;
	} else if (is_among(call, polls) && has_file(process, *wanted)) {
		*wanted = NULL;
	}
}

/* Whether a process waits for what only the host can send. */
static int is_read(const char *input)
{
	each_thread(find_reader, &input);
	return input == NULL;
}

/* One line for each thread: numbers, state, system call, kernel function, file, name, arguments. */
static void describe(struct thread thread, void *data)
{
	struct bytes *report = data;
	char call[300], where[100], name[100], arguments[300], path[100], target[300];
	char status[300], *state, line[1700];
	long file = -1;
	size_t length;

	read_of(thread, "syscall", call, sizeof(call));
	read_of(thread, "wchan", where, sizeof(where));
	read_of(thread, "comm", name, sizeof(name));
	read_of(thread, "stat", status, sizeof(status));
	state = strrchr(status, ')');
	sscanf(call, "%*s %li", &file);
	snprintf(path, sizeof(path), "/proc/%d", thread.process);
	read_name_of_file(path, file, target, sizeof(target));
	snprintf(path, sizeof(path), "/proc/%d/cmdline", thread.process);
	length = read_file(path, arguments, sizeof(arguments));
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)arguments[i] < ' ')
			arguments[i] = ' ';
	length = snprintf(line, sizeof(line), "%d\t%d\t%c\t%s\t%s\t%s\t%s\t%s\n", thread.process,
			  thread.thread, state ? state[2] : '?', call, where, target, name,
			  arguments);
	append(report, line, length < sizeof(line) ? length : sizeof(line) - 1);
}

#define DEEPEST 30 /* frames of a stack */

/* One line for a place in a process's code: the file, and where in it. */
static void describe_place(int process, unsigned long place, struct bytes *report)
{
	unsigned long start, end, offset;
	char path[100], line[1000], name[800];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", process);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		int found = sscanf(line, "%lx-%lx %*s %lx %*s %*s %799[^\n]", &start, &end, &offset, name);

		if (found >= 3 && place >= start && place < end) {
			int length = snprintf(line, sizeof(line), "@%lx\t%s\n", place - start + offset,
					      found == 4 ? name : "");
			append(report, line, length);
			break;
		}
	}
	if (maps)
		fclose(maps);
}

#ifdef __x86_64__
/* Where a thread is, and who called it as far as frame pointers tell; it is stopped for it. */
static void describe_stack(int thread, struct bytes *report)
{
	struct user_regs_struct registers;
	unsigned long frame[2], before = 0;
	char path[100];
	int memory, status;

	if (ptrace(PTRACE_SEIZE, thread, 0, 0) < 0)
		return;
	ptrace(PTRACE_INTERRUPT, thread, 0, 0);
	waitpid(thread, &status, __WALL);
	if (WIFSTOPPED(status) && ptrace(PTRACE_GETREGS, thread, 0, &registers) == 0) {
		snprintf(path, sizeof(path), "/proc/%d/mem", thread);
		memory = open(path, O_RDONLY | O_CLOEXEC);
		describe_place(thread, registers.rip, report);
		frame[0] = registers.rbp;
		for (int depth = 1; depth < DEEPEST && frame[0] > before; depth++) {
			before = frame[0];
			if (pread(memory, frame, sizeof(frame), before) != sizeof(frame))
				break;
			describe_place(thread, frame[1] - 1, report);
		}
		close(memory);
	}
	ptrace(PTRACE_DETACH, thread, 0, 0);
}
#else
/* Only User-mode Linux finds out who spins, and that is x86. */
static void describe_stack(int thread, struct bytes *report)
{
	(void)thread;
	(void)report;
}
#endif
