// What a boot can be asked to run.
import type { Job } from './job.ts';
import { clientJobs, seccompJobs } from './jobs-clients.ts';

export const groups: Record<string, () => Job[]> = {
  clients: clientJobs,
  seccomp: seccompJobs,
};
