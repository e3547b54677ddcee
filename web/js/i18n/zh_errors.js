// @ts-check
// Chinese translations of all errors that the page shows, by the English sentence.
import { PAGE_ERRORS } from "./zh_page_errors.js";
import { RUN_ERRORS } from "./zh_run_errors.js";
import { SCHEDULE_ERRORS } from "./zh_schedule_errors.js";
import { TEXT_ERRORS } from "./zh_text_errors.js";

/** @type {Record<string, string>} */
export const CHINESE_ERRORS = { ...TEXT_ERRORS, ...SCHEDULE_ERRORS, ...RUN_ERRORS, ...PAGE_ERRORS };
