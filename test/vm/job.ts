// One test that runs inside the guest.

export interface Job {
  name: string;
  run: () => void | Promise<void>;
}

/** Thrown by a job that this kernel or machine cannot run; the reason is printed and counted. */
export class Skip extends Error {
  override name = 'Skip';
}

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** One line a job; `label` comes before its name. */
export async function runJobs(jobs: Job[], label: string, print: (line: string) => void): Promise<Tally> {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const job of jobs) {
    const start = Date.now();
    try {
      await job.run();
      tally.passed++;
      print(`ok ${label} ${job.name} (${((Date.now() - start) / 1000).toFixed(1)} s)`);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const skipped = error instanceof Skip;
      if (skipped) tally.skipped++;
      else tally.failed++;
      print(`${skipped ? 'skip' : 'not ok'} ${label} ${job.name}: ${message.replaceAll('\n', ' | ')}`);
    }
  }
  return tally;
}
