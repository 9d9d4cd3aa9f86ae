/** The version of this program, as `version`, the LocalAPI and control see it. */
export const VERSION = "0.1.0";
